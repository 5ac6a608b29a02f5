#!/bin/bash
# Takes back whatever a fault left on the controller's host, and waits until the cluster is whole and empty.
folder=/home/vllm/faults slurm=/opt/slurm/current seconds=150
for real in "$slurm"/real/*; do [ -e "$real" ] && mv -f "$real" "$slurm/bin/"; done
[ -e $folder/proxy.pid ] && kill "$(cat $folder/proxy.pid)" 2>/dev/null
rm -rf $folder/proxy.pid $folder/state $folder/pids $folder/begun
install -d -m 1777 $folder/state $folder/pids $folder/begun
for unit in munge mariadb slurmdbd slurmctld; do systemctl kill -s CONT $unit 2>/dev/null; done
systemctl start mariadb munge slurmdbd slurmctld
if [ -e /etc/slurm/slurm.conf.whole ]; then
  mv -f /etc/slurm/slurm.conf.whole /etc/slurm/slurm.conf
  systemctl restart slurmctld
fi
end=$((SECONDS + seconds)) asked=-99
while :; do
  if [ $((SECONDS - asked)) -ge 10 ]; then
    squeue -h -o %A 2>/dev/null | sort -u | xargs -r scancel
    sinfo -h -N -o '%N %T' 2>/dev/null | grep -E 'down|drain' | while read -r node _; do
      scontrol update nodename="$node" state=resume 2>/dev/null
    done
    scontrol update partitionname=gpu state=up 2>/dev/null
    asked=$SECONDS
  fi
  jobs=$(squeue -h -o %A 2>&1) && nodes=$(sinfo -h -N -o %T 2>&1 | sort -u)
  [ -z "$jobs" ] && [ "$nodes" = idle ] && exit 0
  [ $SECONDS -ge $end ] && echo "jobs: $jobs; nodes: $nodes" && exit 1
  sleep 0.3
done
