#!/usr/bin/env bash
# Put back what backup_controller.sh saved: recover_controller.sh FOLDER unpack|keys|database|state [UID:GID STATE-FOLDER]
# FOLDER/recover.tar.zst is the archive; it is unpacked to FOLDER/recover. Each step can be repeated after an interruption;
# `state` comes last, since a controller that has a state is never overwritten.
set -euo pipefail
folder=$1 step=$2
umask 077
from=$folder/recover
case $step in
  unpack)
    rm -rf "$from"
    mkdir "$from"
    tar --zstd --numeric-owner --same-owner -C "$from" -xf "$folder/recover.tar.zst"
    cat "$from/about.json"
    ;;
  keys)
    install -d -m 0755 /etc/slurm
    if [ -e "$from/munge.key" ]; then
      install -d -m 0700 /etc/munge
      install -m 0400 "$from/munge.key" /etc/munge/munge.key
    fi
    if [ -e "$from/etc/slurm.jwks" ]; then install -m 0600 "$from/etc/slurm.jwks" /etc/slurm/slurm.jwks; fi
    ;;
  database)
    client=$(command -v mariadb || command -v mysql)
    # An import that was interrupted leaves this mark, and half a database.
    if [ -e "$folder/importing" ]; then "$client" -e 'drop database if exists slurm_acct_db'; fi
    tables=$("$client" -N -e "select count(*) from information_schema.tables where table_schema = 'slurm_acct_db'")
    if [ "$tables" != 0 ]; then
      echo "the database slurm_acct_db is there and was kept"
      exit
    fi
    touch "$folder/importing"
    "$client" -e 'create database if not exists slurm_acct_db'
    "$client" slurm_acct_db <"$from/database.sql"
    rm "$folder/importing"
    echo imported
    ;;
  state)
    if [ -d "$from/llmops-elastic" ] && [ ! -e /var/lib/llmops-elastic ]; then
      chown -R "$3" "$from/llmops-elastic"
      mv -T "$from/llmops-elastic" /var/lib/llmops-elastic
    fi
    if [ -e "$from/slurm-hardware.json" ]; then install -D -m 0644 "$from/slurm-hardware.json" /etc/llmops/slurm-hardware.json; fi
    chown -R "$3" "$from/state"
    chmod 0700 "$from/state"
    location=$4
    if [ -e "$location/clustername" ]; then
      echo "$location has a state, which was kept"
    else
      # Often another file system. The mark of a whole state comes last: a copy that was interrupted is made again.
      install -d -m 0700 -o "${3%:*}" -g "${3#*:}" "$location"
      tar -C "$from/state" --exclude=./clustername -cf - . | tar -C "$location" --same-owner -xpf -
      cp -p "$from/state/clustername" "$location/clustername.new"
      mv "$location/clustername.new" "$location/clustername"
    fi
    rm -rf "$from" "$folder/recover.tar.zst"
    ;;
  *) echo "no such step: $step" >&2; exit 2 ;;
esac
