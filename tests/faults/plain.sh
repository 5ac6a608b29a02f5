#!/bin/bash
# The baseline: what people write around sbatch. plain.sh STATE NAME SCRIPT QUEUE_TIMEOUT [SBATCH OPTION]...
# It looks whether a job of the name is there, submits, tries again when sbatch fails, and polls squeue.
state=$1 name=$2 script=$3 queue_timeout=$4
shift 4

cancel() {
  scancel --user="$USER" --name="$name" || return 1
  for _ in $(seq 60); do
    [ -z "$(squeue --noheader --user="$USER" --name="$name")" ] && return 0
    sleep 1
  done
  return 1
}

if [ "$state" = absent ]; then cancel; exit; fi
if [ "$state" = replace ]; then cancel || exit 1; state=submitted; fi

id=$(squeue --noheader --user="$USER" --name="$name" --format=%A | head -n 1)
if [ -z "$id" ]; then
  for _ in 1 2 3; do
    id=$(sbatch --parsable --job-name="$name" "$@" "$script") && break
    id=
    sleep 2
  done
fi
[ -n "$id" ] || { echo "sbatch failed 3 times"; exit 1; }
echo "job $id"
[ "$state" = submitted ] && exit 0

start=$SECONDS
while :; do
  now=$(squeue --noheader --jobs="$id" --format=%T 2>/dev/null)
  if [ "$state" = running ] && [ "$now" = RUNNING ]; then exit 0; fi
  if [ -z "$now" ]; then
    ended=$(sacct --noheader --allocations --parsable2 --jobs="$id" --format=State)
    echo "job $id: $ended"
    [ "$state" = completed ] && [ "$ended" = COMPLETED ]
    exit
  fi
  if [ "$now" = PENDING ] && [ $((SECONDS - start)) -ge "$queue_timeout" ]; then
    echo "job $id is still $now"
    exit 1
  fi
  sleep 1
done
