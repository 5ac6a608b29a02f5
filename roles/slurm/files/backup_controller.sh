#!/usr/bin/env bash
# All that a fresh controller needs, as one archive for root alone: backup_controller.sh FOLDER CLUSTER VERSION AUTH KEEP STATE-FOLDER
# Prints the archive's path. slurmctld is stopped while its state is copied (a second or two): a copy of a state that
# changes could name jobs whose scripts it lacks. Jobs do not notice; it is started again whatever happens here.
set -euo pipefail
folder=$1 cluster=$2 version=$3 auth=$4 keep=$5
# Where slurmctld has it now. STATE-FOLDER may be where the next deployment will bring it.
state=$(sed -n 's/^StateSaveLocation=//p' /etc/slurm/slurm.conf 2>/dev/null || true)
state=${state:-$6}
umask 077
install -d -m 0700 "$folder"
work=$(mktemp -d "$folder/.making.XXXXXX")
finish() {
  if [ -e "$work/stopped" ]; then systemctl start slurmctld; fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

mkdir "$work/content"
if systemctl is-active --quiet slurmctld; then
  touch "$work/stopped"
  systemctl stop slurmctld
fi
cp -a "$state" "$work/content/state"
if [ -e "$work/stopped" ]; then
  systemctl start slurmctld
  rm "$work/stopped"
fi
cp -a /etc/slurm "$work/content/etc"
# What was learnt of the nodes, and of starting those that are elastic.
for path in /var/lib/llmops-elastic /etc/llmops/slurm-hardware.json; do
  if [ -e "$path" ]; then cp -a "$path" "$work/content/"; fi
done
if [ -e /etc/munge/munge.key ]; then cp -a /etc/munge/munge.key "$work/content/munge.key"; fi
database=false
if systemctl is-active --quiet slurmdbd; then
  # One snapshot of the database: slurmdbd goes on meanwhile.
  "$(command -v mariadb-dump || command -v mysqldump)" --single-transaction --quick slurm_acct_db >"$work/content/database.sql"
  database=true
fi
printf '{"cluster": "%s", "version": "%s", "auth": "%s", "database": %s, "made": "%s"}\n' \
  "$cluster" "$version" "$auth" "$database" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$work/content/about.json"
file=$folder/controller-$cluster-$(date -u +%Y%m%dT%H%M%SZ).tar.zst
tar --zstd --numeric-owner -C "$work/content" -cf "$work/archive" .
sync "$work/archive"
mv "$work/archive" "$file"
find "$folder" -maxdepth 1 -name "controller-$cluster-*.tar.zst" -printf '%T@ %p\n' | sort -rn |
  tail -n "+$((keep + 1))" | cut -d' ' -f2- | while IFS= read -r old; do rm -- "$old"; done
echo "$file"
