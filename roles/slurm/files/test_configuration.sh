#!/bin/sh
# test_configuration.sh PREFIX slurm.conf|cgroup.conf: reads the file from standard input as the Slurm under PREFIX would
# and says what stops it. Slurm has no command for this; those used here read the whole file and ask no daemon.
set -eu
exec 2>&1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/$2"

refuse() {
  echo "$1" | sed -E "s,^(scontrol|slurmd): (error|fatal): (_parse_next_key: )?,,; s,$folder/,,; s,^,$2: ,"
  exit 1
}

if [ "$2" = cgroup.conf ]; then
  printf 'ClusterName=test\nSlurmctldHost=localhost\nSlurmdSpoolDir=%s\nNodeName=test\n' "$folder" >"$folder/slurm.conf"
  # It may fail for what this host cannot do, too; that is not the question here.
  words=$("$1/sbin/slurmd" -G -N test -f "$folder/slurm.conf" 2>&1) || case $words in
    *"$folder/cgroup.conf"*) refuse "$words" "$2" ;;
  esac
  exit 0
fi

words=$(SLURM_CONF=$folder/slurm.conf "$1/bin/scontrol" show hostnames localhost 2>&1) || refuse "$words" "$2"

# Only a daemon would notice a plugin that is not there. "none" needs no file.
plugin_keys='AccountingStorage|Auth|JobAcctGather|JobComp|Preempt|Priority|Proctrack|Scheduler|Select|Switch'
missing=$(sed -nE "s,^(($plugin_keys)Type|TaskPlugin)=([a-z_]+/.*),\\1 \\3,p" "$folder/slurm.conf" |
  while read -r key plugins; do
    for plugin in $(echo "$plugins" | tr ',' ' '); do
      file=$(echo "$plugin" | tr '/' '_').so
      [ "${plugin##*/}" = none ] || [ -e "$1/lib/slurm/$file" ] || echo "$key value \"$plugin\": this Slurm has no plugin $file"
    done
  done)
[ -z "$missing" ] || refuse "$missing" "$2"
