#!/bin/sh
# Reads a slurm.conf from standard input as the Slurm under $1 would, and says what stops it.
# Slurm has no command for this: any client reads the whole file first, and this one then asks no daemon.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/slurm.conf"
words=$(SLURM_CONF=$folder/slurm.conf "$1/bin/scontrol" show hostnames localhost 2>&1) || {
  echo "$words" | sed -E "s,^scontrol: (error|fatal): (_parse_next_key: )?,,; s,$folder/,,"
  exit 1
}

# Only a daemon would notice a plugin that is not there. "none" needs no file.
plugin_keys='AccountingStorage|Auth|JobAcctGather|JobComp|Preempt|Priority|Proctrack|Scheduler|Select|Switch'
missing=$(sed -nE "s,^(($plugin_keys)Type|TaskPlugin|TopologyPlugin)=([a-z_]+/.*),\\1 \\3,p" "$folder/slurm.conf" |
  while read -r key plugins; do
    for plugin in $(echo "$plugins" | tr ',' ' '); do
      file=$(echo "$plugin" | tr '/' '_').so
      [ "${plugin##*/}" = none ] || [ -e "$1/lib/slurm/$file" ] || echo "$key value \"$plugin\": this Slurm has no plugin $file"
    done
  done)
[ -z "$missing" ] || { echo "$missing"; exit 1; }
