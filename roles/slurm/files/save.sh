#!/usr/bin/env bash
# Save what an upgrade changes for good: save.sh FOLDER NAME KEEP database|state [STATE-FOLDER]
# Leaves FOLDER/NAME-DATE.sql.zst or .tar.zst, readable by root alone, and of its kind only the KEEP newest.
set -euo pipefail
folder=$1 name=$2 keep=$3 what=$4
umask 077
install -d -m 0700 "$folder"
kind=${name%%-*}
file=$folder/$name-$(date -u +%Y%m%dT%H%M%SZ)
case $what in
  database)
    file+=.sql.zst
    dump=$(command -v mariadb-dump || command -v mysqldump)
    # One snapshot, so it may be taken while slurmdbd works. As root over the local socket: no password.
    "$dump" --single-transaction --quick slurm_acct_db | zstd -q -o "$file.partial"
    ;;
  state)
    file+=.tar.zst
    # Where slurmctld has it now. STATE-FOLDER may be where this deployment will bring it.
    state=$(sed -n 's/^StateSaveLocation=//p' /etc/slurm/slurm.conf 2>/dev/null || true)
    tar --zstd --numeric-owner -C "${state:-$5}" -cf "$file.partial" .
    ;;
  *) echo "no such thing to save: $what" >&2; exit 2 ;;
esac
sync "$file.partial"
mv "$file.partial" "$file"
rm -f "$folder/$kind"-*.partial
find "$folder" -maxdepth 1 -name "$kind-*.zst" -printf '%T@ %p\n' | sort -rn | tail -n "+$((keep + 1))" | cut -d' ' -f2- |
  while IFS= read -r old; do rm -- "$old"; done
echo "$file"
