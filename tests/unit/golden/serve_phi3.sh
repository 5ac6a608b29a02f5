#!/usr/bin/env bash
#
# Ansible managed
#
# Serves microsoft/Phi-3-mini-4k-instruct at revision f39ac1d28e925b323eae81227eaba4464caced4e.
# 1 node, on port 8000 or, where that is busy, another one.
# Submit as the service user: sbatch serve_phi3.sh
#SBATCH --job-name=vllm-serve-phi3
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=7-00:00:00
#SBATCH --output=/home/vllm/vllm-jobs/outputs/serve_phi3_%j.out
#SBATCH --error=/home/vllm/vllm-jobs/outputs/serve_phi3_%j.err
#SBATCH --open-mode=append
#SBATCH --requeue

set -euo pipefail
umask 027
: "${SLURM_JOB_ID:?is not set: submit this script with sbatch}"

export HF_HUB_CACHE=/opt/models
export HF_HUB_OFFLINE=1
export VLLM_NO_USAGE_STATS=1
export VLLM_WORKER_MULTIPROC_METHOD=spawn
# srun does not take the cores of the job from sbatch by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

model_dir=/opt/models/models--microsoft--Phi-3-mini-4k-instruct
api_key_file=/etc/llmops/vllm-api-key
endpoints_dir=/home/vllm/vllm-jobs/endpoints
endpoint='{"model_id": "microsoft/Phi-3-mini-4k-instruct", "models": ["microsoft/Phi-3-mini-4k-instruct", "phi3"], "name": "phi3", "port": 8000, "revision": "f39ac1d28e925b323eae81227eaba4464caced4e"}'
node=${SLURMD_NODENAME:-$(hostname -s)}

# This program finds a port on the node and keeps the engine. It fills in the words in braces; the job's output shows the
# command that it starts.
program=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_node
    --port 8000
    --port-range 20000-29999
    --drain-seconds 20
)
engine=(
    /opt/vllm/venv/bin/vllm serve microsoft/Phi-3-mini-4k-instruct
    --served-model-name microsoft/Phi-3-mini-4k-instruct phi3
    --revision f39ac1d28e925b323eae81227eaba4464caced4e
    --max-model-len 4096
    --dtype auto
    --gpu-memory-utilization 0.85
    --tensor-parallel-size 1
    --shutdown-timeout 20
)
# Where it listens.
first=(
    --host 0.0.0.0
    --port '{port}'
)

# wait also returns when a trap has run: only the end of the process counts.
wait_for() {
    local status
    while true; do
        status=0
        wait -f "$1" || status=$?
        kill -0 "$1" 2>/dev/null || return "$status"
    done
}

# The record of this run begins so; the program adds the port and writes it.
printf -v run '{"host": "%s", "job_id": "%s", "started": "%s"' \
    "$node" "$SLURM_JOB_ID" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
record_file=$endpoints_dir/$SLURM_JOB_ID.json
export LLMOPS_RECORD="$run, \"state\": \"running\", \"job_name\": \"$SLURM_JOB_NAME\", ${endpoint#\{}"

# A node that was lost and comes back finds the record of the run that took over, and leaves it.
# shellcheck disable=SC2329  # the trap runs it
remove_endpoint() {
    [[ ! -r $record_file || $(<"$record_file") != "$run"* ]] || rm -f "$record_file"
}

# srun answers TERM by killing its step at once; through Slurm the step gets the signal and time to finish. Not waited
# for: of a job that goes back into the queue Slurm has told the step already, and refuses for as long as scancel asks.
# shellcheck disable=SC2329  # the trap runs it
stop_step() {
    scancel --quiet --signal=TERM "$SLURM_JOB_ID" &
}

echo "Job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, start number $((${SLURM_RESTART_COUNT:-0} + 1))"
trap remove_endpoint EXIT
trap stop_step TERM

status=0
srun --nodes=1 --ntasks=1 --ntasks-per-node=1 --kill-on-bad-exit=1 \
    "${program[@]}" --model-dir "$model_dir" --key-file "$api_key_file" --record "$record_file" \
    --first "${first[@]}" --engine "${engine[@]}" &
wait_for $! || status=$?
exit "$status"
