#!/usr/bin/env bash
#
# Ansible managed
#
# Answers a file of requests with Qwen/Qwen2.5-32B-Instruct at revision main.
# Submit as the service user: sbatch batch_four-gpus.sh REQUESTS.jsonl [ANSWERS.jsonl]
# Submitted again with the same files, it goes on where it was. With sbatch --nodes=N --ntasks=N N engines share the work.
#SBATCH --job-name=vllm-batch-four-gpus
#SBATCH --partition=gpu
#SBATCH --account=llm
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=128G
#SBATCH --gres=gpu:l4:4
#SBATCH --time=12:00:00
#SBATCH --output=/home/vllm/vllm-jobs/outputs/batch_four-gpus_%j.out
#SBATCH --error=/home/vllm/vllm-jobs/outputs/batch_four-gpus_%j.err
#SBATCH --open-mode=append
#SBATCH --no-requeue

set -euo pipefail
umask 027
: "${SLURM_JOB_ID:?is not set: submit this script with sbatch}"

if (($# < 1 || $# > 2)); then
    echo "Usage: sbatch batch_four-gpus.sh REQUESTS.jsonl [ANSWERS.jsonl]" >&2
    exit 64
fi
requests=$1
answers=${2:-/home/vllm/vllm-jobs/outputs/batch_four-gpus_$SLURM_JOB_ID.jsonl}
if [[ ! -r $requests ]]; then
    echo "The file of requests $requests cannot be read on $(hostname -s) by $(id -un)." >&2
    exit 66
fi

export HF_HUB_CACHE=/opt/models
export HF_HUB_OFFLINE=1
export NOTE=$'it\'s two\nlines'
export VLLM_NO_USAGE_STATS=1
export VLLM_WORKER_MULTIPROC_METHOD=spawn
# srun does not take the cores of the job from sbatch by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

engine=(
    /opt/vllm/venv/bin/vllm serve Qwen/Qwen2.5-32B-Instruct
    --served-model-name qwen four-gpus
    --revision main
    --dtype auto
    --limit-mm-per-prompt '{"image": 2}'
    --gpu-memory-utilization 0.9
    --tensor-parallel-size 4
    --override-generation-config '{"top_k": 2}'
)

program=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_batch
)

# A task that fails leaves the others at work: what they answer need not be asked again.
srun --ntasks="${SLURM_NTASKS:-1}" --kill-on-bad-exit=0 "${program[@]}" "$requests" "$answers" -- "${engine[@]}"
"${program[@]}" --finish "$requests" "$answers"
