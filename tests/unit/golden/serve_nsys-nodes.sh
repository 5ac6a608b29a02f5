#!/usr/bin/env bash
#
# Ansible managed
#
# Serves lab/maverick at revision main.
# 2 nodes in the engine's own multi-node mode.
# Submit as the service user: sbatch serve_maverick.sh
#SBATCH --job-name=vllm-serve-maverick
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:4
#SBATCH --time=7-00:00:00
#SBATCH --output=/home/vllm/vllm-jobs/outputs/serve_maverick_%j.out
#SBATCH --error=/home/vllm/vllm-jobs/outputs/serve_maverick_%j.err
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

model_dir=/opt/models/models--lab--maverick
api_key_file=/etc/llmops/vllm-api-key
endpoints_dir=/home/vllm/vllm-jobs/endpoints
endpoint='{"model_id": "lab/maverick", "models": ["lab/maverick", "maverick"], "name": "maverick", "port": 8005, "revision": "main"}'
node=${SLURMD_NODENAME:-$(hostname -s)}

# The same program runs on each node: it finds the node's address and ports, meets the others, tries the links between
# them, and keeps the engine. It fills in the words in braces; the job's output shows the command that it starts.
program=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_node
    --port 8005
    --port-range 20000-29999
    --drain-seconds 20
    --grace-seconds 600
    --first-ports master
)
engine=(
    /opt/vllm/venv/bin/vllm serve lab/maverick
    --served-model-name lab/maverick maverick
    --revision main
    --dtype auto
    --gpu-memory-utilization 0.9
    --tensor-parallel-size 4
    --pipeline-parallel-size 2
    --shutdown-timeout 20
)
# What the first node adds, which has the API, and what the others add.
first=(
    --host 0.0.0.0
    --port '{port}'
    --nnodes 2
    --node-rank '{rank}'
    --master-addr '{first_address}'
    --master-port '{first_master}'
)
others=(
    --nnodes 2
    --node-rank '{rank}'
    --master-addr '{first_address}'
    --master-port '{first_master}'
    --headless
)
# What the engine is started by, under its profiler. It fills in the job, the node and the rank; the job's output
# shows the command that it starts.
launch=(
    /opt/vllm/venv/bin/python -B /home/vllm/vllm-jobs/llmops_launch
    --name maverick
    --profiler nsys
    --profiles /home/vllm/vllm-jobs/profiles
    --
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

# The record of this run begins so; the first node's program adds the port and writes it when the nodes have met.
printf -v run '{"host": "%s", "job_id": "%s", "started": "%s"' \
    "$node" "$SLURM_JOB_ID" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
record_file=$endpoints_dir/$SLURM_JOB_ID.json
export LLMOPS_RECORD="$run, \"state\": \"running\", \"job_name\": \"$SLURM_JOB_NAME\", ${endpoint#\{}"
# The word by which this run's nodes know each other.
LLMOPS_MEETING=$(od -An -N16 -tx8 /dev/urandom | tr -d ' ')
export LLMOPS_MEETING

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
srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --kill-on-bad-exit=1 --label \
    "${program[@]}" --model-dir "$model_dir" --key-file "$api_key_file" --record "$record_file" \
    --first "${first[@]}" --others "${others[@]}" --engine "${launch[@]}" "${engine[@]}" &
wait_for $! || status=$?
exit "$status"
