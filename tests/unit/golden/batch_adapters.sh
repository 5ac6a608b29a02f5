#!/usr/bin/env bash
#
# Ansible managed
#
# Answers a file of requests with lab/tiny at revision main.
# Submit as the service user: sbatch batch_phi3.sh REQUESTS.jsonl [ANSWERS.jsonl]
# Submitted again with the same files, it goes on where it was. With sbatch --nodes=N --ntasks=N N engines share the work.
#SBATCH --job-name=vllm-batch-phi3
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=7-00:00:00
#SBATCH --output=/home/vllm/vllm-jobs/outputs/batch_phi3_%j.out
#SBATCH --error=/home/vllm/vllm-jobs/outputs/batch_phi3_%j.err
#SBATCH --open-mode=append
#SBATCH --requeue

set -euo pipefail
umask 027
: "${SLURM_JOB_ID:?is not set: submit this script with sbatch}"

if (($# < 1 || $# > 2)); then
    echo "Usage: sbatch batch_phi3.sh REQUESTS.jsonl [ANSWERS.jsonl]" >&2
    exit 64
fi
requests=$1
answers=${2:-/home/vllm/vllm-jobs/outputs/batch_phi3_$SLURM_JOB_ID.jsonl}
if [[ ! -r $requests ]]; then
    echo "The file of requests $requests cannot be read on $(hostname -s) by $(id -un)." >&2
    exit 66
fi

export HF_HUB_CACHE=/opt/models
export HF_HUB_OFFLINE=1
export VLLM_NO_USAGE_STATS=1
export VLLM_WORKER_MULTIPROC_METHOD=spawn
# Compiled code, on each node's own disk: by engine, hardware and model, so that nothing is loaded that was made for
# others. What is compiled for a CPU is for this kind of CPU alone.
hardware=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 || true)
[[ -n $hardware ]] || hardware=$(uname -m)-$(grep -E '^(model name|flags|CPU part|Features)' /proc/cpuinfo | sort -u | cksum | cut -d ' ' -f 1 || true)
cache_key=$(basename "$(readlink -f /opt/vllm/venv)")/${hardware//[^A-Za-z0-9.]/_}/lab--tiny
VLLM_CACHE_ROOT=/var/cache/vllm/$cache_key
export VLLM_CACHE_ROOT TORCHINDUCTOR_CACHE_DIR=$VLLM_CACHE_ROOT/inductor TRITON_CACHE_DIR=$VLLM_CACHE_ROOT/triton
export FLASHINFER_WORKSPACE_BASE=$VLLM_CACHE_ROOT/flashinfer
cache=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_cache
)
# srun does not take the cores of the job from sbatch by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

engine=(
    /opt/vllm/venv/bin/vllm serve lab/tiny
    --served-model-name lab/tiny phi3
    --revision main
    --dtype auto
    --enable-lora
    --max-loras 2
    --max-lora-rank 32
    --lora-modules sql=/opt/models/models--lab--sql-lora/snapshots/f39ac1d28e925b323eae81227eaba4464caced4e poems=/srv/adapters/poems
    --gpu-memory-utilization 0.9
    --tensor-parallel-size 1
)

program=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_batch
)

# Says what the engine will find compiled, and brings it where the node has nothing. Never in the job's way.
timeout --kill-after=5 300 "${cache[@]}" take "$VLLM_CACHE_ROOT" --seed /home/vllm/compiled/"$cache_key".tar || true
# A task that fails leaves the others at work: what they answer need not be asked again.
srun --ntasks="${SLURM_NTASKS:-1}" --kill-on-bad-exit=0 "${program[@]}" "$requests" "$answers" -- "${engine[@]}"
"${program[@]}" --finish "$requests" "$answers"
