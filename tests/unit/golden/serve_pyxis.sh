#!/usr/bin/env bash
#
# Ansible managed
#
# Serves lab/tiny at revision main on port 8009.
# Submit as the service user: sbatch serve_tiny.sh
#SBATCH --job-name=vllm-serve-tiny
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=7-00:00:00
#SBATCH --output=/home/vllm/vllm-jobs/outputs/serve_tiny_%j.out
#SBATCH --error=/home/vllm/vllm-jobs/outputs/serve_tiny_%j.err
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

model_dir=/opt/models/models--lab--tiny
api_key_file=/etc/llmops/vllm-api-key
endpoints_dir=/home/vllm/vllm-jobs/endpoints
endpoint='{"job_name": "vllm-serve-tiny", "model_id": "lab/tiny", "models": ["lab/tiny", "tiny"], "name": "tiny", "port": 8009, "revision": "main"}'
node=${SLURMD_NODENAME:-$(hostname -s)}

engine=(
    vllm serve lab/tiny
    --host 0.0.0.0
    --port 8009
    --served-model-name lab/tiny tiny
    --revision main
    --dtype auto
    --gpu-memory-utilization 0.9
    --tensor-parallel-size 1
    --shutdown-timeout 20
)
# The container that Slurm makes around the step.
# shellcheck disable=SC2054  # pyxis parts its folders by commas
container=(
    '--container-image=docker.io#vllm/vllm-openai:v0.32.0'
    --container-mounts=/opt/models:/opt/models:ro,/etc/llmops/vllm-api-key:/etc/llmops/vllm-api-key:ro
    --container-workdir=/tmp
    --no-container-mount-home
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

# The job step. Reads the API key here, so that it is in the engine's environment and nowhere else.
# shellcheck disable=SC2329  # srun runs it below, by its text
run_engine() {
    local key_file=$1 pid='' status=0 stop_asked=''
    shift
    if [[ -n $key_file ]]; then
        VLLM_API_KEY=''
        [[ ! -r $key_file ]] || VLLM_API_KEY=$(<"$key_file")
        if [[ -z $VLLM_API_KEY ]]; then
            echo "Reading the API key from $key_file on $(hostname -s) failed: no key there for $(id -un)." >&2
            return 78
        fi
        export VLLM_API_KEY
    fi
    # A process group of the engine's own, so that all of it can be ended at once.
    set -m
    # Slurm signals this shell, not its children; the engine finishes running requests and then ends.
    trap 'stop_asked=yes; [[ -z $pid ]] || kill -TERM "$pid" 2>/dev/null || true' TERM
    "$@" &
    pid=$!
    [[ -z $stop_asked ]] || kill -TERM "$pid" 2>/dev/null || true
    wait_for "$pid" || status=$?
    # A server that was killed leaves its engine core behind, with the GPU's memory.
    kill -KILL -- "-$pid" 2>/dev/null || true
    if [[ -n $stop_asked ]]; then
        # 143: ended by the signal itself, before the engine had its own way to stop.
        if ((status == 143)); then
            status=0
        fi
    elif ((status == 0)); then
        # A vLLM server whose engine died ends with status 0; a service that nobody stopped has failed.
        echo "The engine ended by itself with status 0, which is what a dead engine does." >&2
        status=70
    fi
    return "$status"
}

printf -v record '{"host": "%s", "job_id": "%s", "started": "%s", "state": "running", %s' \
    "$node" "$SLURM_JOB_ID" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${endpoint#\{}"
record_file=$endpoints_dir/$SLURM_JOB_ID.json

record_endpoint() {
    [[ -d $endpoints_dir && -w $endpoints_dir ]] || return 0
    printf '%s\n' "$record" >"$record_file.tmp" && mv -f "$record_file.tmp" "$record_file"
}

# A node that was lost and comes back finds the record of the run that took over, and leaves it.
# shellcheck disable=SC2329  # the trap runs it
remove_endpoint() {
    [[ ! -r $record_file || $(<"$record_file") != "$record" ]] || rm -f "$record_file"
}

# srun answers TERM by killing its step at once; through Slurm the step gets the signal and time to finish. Not waited
# for: of a job that goes back into the queue Slurm has told the step already, and refuses for as long as scancel asks.
# shellcheck disable=SC2329  # the trap runs it
stop_step() {
    scancel --quiet --signal=TERM "$SLURM_JOB_ID" &
}

echo "Job $SLURM_JOB_ID on $node, start number $((${SLURM_RESTART_COUNT:-0} + 1))"
if command -v nvidia-smi >/dev/null; then
    nvidia-smi -L || true
fi
if [[ ! -d $model_dir/snapshots ]]; then
    echo "The model is not on $node: $model_dir/snapshots is missing. Deploy it there first." >&2
    exit 66
fi
echo "Model files in $model_dir:"
find -L "$model_dir/snapshots" -type f -printf '%12s %P\n' | sort -k 2

record_endpoint || echo "Recording the endpoint in $endpoints_dir failed; serving goes on." >&2
trap remove_endpoint EXIT
trap stop_step TERM

status=0
srun --ntasks=1 --kill-on-bad-exit=1 "${container[@]}" \
    bash -euo pipefail -c "$(declare -f wait_for run_engine)"$'\nrun_engine "$@"' engine \
    "$api_key_file" "${engine[@]}" &
wait_for $! || status=$?
exit "$status"
