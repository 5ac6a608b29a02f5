#!/bin/bash
# What a fake may do as root; the fake itself runs as the job's user. Returns when it is done.
case $1 in
  kill-controller) systemctl kill -s KILL slurmctld ;;
  restart-controller) systemctl restart slurmctld ;;
  freeze-controller)
    systemctl kill -s STOP slurmctld
    (sleep "$2"; systemctl kill -s CONT slurmctld) >/dev/null 2>&1 &
    ;;
  stop-munge)
    systemctl stop munge
    (sleep "$2"; systemctl start munge) >/dev/null 2>&1 &
    ;;
  kill-client) for file in /home/vllm/faults/pids/*; do kill -9 "$(cat "$file")"; rm "$file"; done ;;
esac
exit 0
