#!/usr/bin/env bash
#
# Ansible managed
#
# Answers a file of requests with lab/tiny at revision main.
# Submit as the service user: sbatch batch_tiny.sh REQUESTS.jsonl [ANSWERS.jsonl]
# Submitted again with the same files, it goes on where it was. With sbatch --nodes=N --ntasks=N N engines share the work.
#SBATCH --job-name=vllm-batch-tiny
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:2
#SBATCH --time=7-00:00:00
#SBATCH --output=/home/vllm/vllm-jobs/outputs/batch_tiny_%j.out
#SBATCH --error=/home/vllm/vllm-jobs/outputs/batch_tiny_%j.err
#SBATCH --open-mode=append
#SBATCH --requeue

set -euo pipefail
umask 027
: "${SLURM_JOB_ID:?is not set: submit this script with sbatch}"

if (($# < 1 || $# > 2)); then
    echo "Usage: sbatch batch_tiny.sh REQUESTS.jsonl [ANSWERS.jsonl]" >&2
    exit 64
fi
requests=$1
answers=${2:-/home/vllm/vllm-jobs/outputs/batch_tiny_$SLURM_JOB_ID.jsonl}
if [[ ! -r $requests ]]; then
    echo "The file of requests $requests cannot be read on $(hostname -s) by $(id -un)." >&2
    exit 66
fi

export HF_HUB_CACHE=/opt/models
export HF_HUB_OFFLINE=1
export NOTE=$'two\nlines'
export VLLM_NO_USAGE_STATS=1
export VLLM_WORKER_MULTIPROC_METHOD=spawn
# Compiled code, on each node's own disk: by engine, hardware and model, so that nothing is loaded that was made for
# others. What is compiled for a CPU is for this kind of CPU alone.
hardware=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 || true)
[[ -n $hardware ]] || hardware=$(uname -m)-$(grep -E '^(model name|flags|CPU part|Features)' /proc/cpuinfo | sort -u | cksum | cut -d ' ' -f 1 || true)
cache_key=$(basename "$(readlink -f /docker.io_vllm_vllm-openai_v0.32.0)")/${hardware//[^A-Za-z0-9.]/_}/lab--tiny
VLLM_CACHE_ROOT=/var/cache/vllm/$cache_key
export VLLM_CACHE_ROOT TORCHINDUCTOR_CACHE_DIR=$VLLM_CACHE_ROOT/inductor TRITON_CACHE_DIR=$VLLM_CACHE_ROOT/triton
export FLASHINFER_WORKSPACE_BASE=$VLLM_CACHE_ROOT/flashinfer
cache=(
    python3 -B /home/vllm/vllm-jobs/llmops_cache
)
# srun does not take the cores of the job from sbatch by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

engine=(
    vllm serve lab/tiny
    --served-model-name lab/tiny tiny
    --revision main
    --dtype auto
    --gpu-memory-utilization 0.9
    --tensor-parallel-size 2
)

program=(
    python3 -B /home/vllm/vllm-jobs/llmops_batch
)
# What the engine is started by, in a container. It fills in the job, the node and the rank; the job's output
# shows the command that it starts.
launch=(
    python3 -B /home/vllm/vllm-jobs/llmops_launch
    --name tiny
    --runtime podman
    --image docker.io/vllm/vllm-openai:v0.32.0
    --shm-size 16g
    --cuda
    --read-only /opt/models
    --read-only /fsx
    --pass NOTE
    --
)

# Says what the engine will find compiled. Never in the job's way.
timeout --kill-after=5 300 "${cache[@]}" take "$VLLM_CACHE_ROOT" || true
# A task that fails leaves the others at work: what they answer need not be asked again.
srun --ntasks="${SLURM_NTASKS:-1}" --kill-on-bad-exit=0 "${program[@]}" "$requests" "$answers" -- "${launch[@]}" "${engine[@]}"
"${program[@]}" --finish "$requests" "$answers"
