#!/usr/bin/env bash
#
# Ansible managed
#
# Answers a file of requests with microsoft/Phi-3-mini-4k-instruct at revision f39ac1d28e925b323eae81227eaba4464caced4e.
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
# srun does not take the cores of the job from sbatch by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

engine=(
    /opt/vllm/venv/bin/vllm serve microsoft/Phi-3-mini-4k-instruct
    --served-model-name microsoft/Phi-3-mini-4k-instruct phi3
    --revision f39ac1d28e925b323eae81227eaba4464caced4e
    --max-model-len 4096
    --dtype auto
    --gpu-memory-utilization 0.85
    --tensor-parallel-size 1
)

program=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_batch
)

# A task that fails leaves the others at work: what they answer need not be asked again.
srun --ntasks="${SLURM_NTASKS:-1}" --kill-on-bad-exit=0 "${program[@]}" "$requests" "$answers" -- "${engine[@]}"
"${program[@]}" --finish "$requests" "$answers"
