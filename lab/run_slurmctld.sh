#!/bin/bash
# Starts a slurmctld of its own on $1/slurm.conf, runs the rest of the arguments as a command, ends it. As root.
# In namespaces of its own: no port, no process and no name of the host is touched; all of it goes with this shell.
set -euo pipefail
folder=$1; shift
if [ -z "${LLMOPS_INSIDE:-}" ]; then
  LLMOPS_INSIDE=1 exec unshare --mount --net --pid --ipc --uts --fork --kill-child --mount-proc bash "$0" "$folder" "$@"
fi
hostname ctl
ip link set lo up
ip address add 10.99.0.1/32 dev lo
# slurmctld resolves each node when it starts. No name server is there: a file has them all.
mount --bind "$folder/hosts" /etc/hosts
mkdir -p "$folder/state" && chown slurm: "$folder/state"
export SLURM_CONF=$folder/slurm.conf
/opt/slurm/current/sbin/slurmctld -D >"$folder/slurmctld.log" 2>&1 &
for _ in $(seq 300); do
  /opt/slurm/current/bin/scontrol ping >/dev/null 2>&1 && exec "$@"
  kill -0 $! 2>/dev/null || break
  sleep 0.1
done
grep -E 'error|fatal' "$folder/slurmctld.log" | tail -n 20
exit 1
