#!/bin/sh
# link_packages.sh PREFIX ETC PACKAGE ...: make PREFIX what a build of ours would be, of links to the files of these Debian
# packages; keep the packages from everybody's upgrades, and the services that they brought from starting at boot. ETC is
# /etc. Says "changed" when it changed something.
set -eu
prefix=$1 etc=$2
shift 2

link() {
  [ "$(readlink "$2")" = "$1" ] || { ln -sfn "$1" "$2"; echo changed; }
}

mkdir -p "$prefix/bin" "$prefix/sbin" "$prefix/lib/security"
dpkg --listfiles "$@" | sort -u | while read -r path; do
  case $path in
    */bin/?*) link "$path" "$prefix/bin/${path##*/}" ;;
    # Debian's emulator of many nodes has daemons of the same names; the link in /usr/sbin may be to either.
    */sbin/?*) name=${path##*/}; link "$path" "$prefix/sbin/${name%-wlm}" ;;
    */slurm-wlm/auth_none.so) link "${path%/*}" "$prefix/lib/slurm" ;;
    */security/pam_*.so) link "$path" "$prefix/lib/security/${path##*/}" ;;
  esac
done
# What other versions had, whose files these packages have replaced.
find "$prefix/" -xtype l -delete
folder=${prefix%/*}
for one in "$folder"/*; do
  if [ -L "$one/bin/sbatch" ] && [ ! -L "$one" ] && [ "$one" != "$prefix" ] && [ "$one" != "$(readlink "$folder/current")" ]; then
    rm -r "$one"
  fi
done

# The packages' plugstack.conf includes whatever lies in a folder, by a pattern: slurmctld cannot send that to hosts without
# files of their own, and complains at each start. Somebody's own file or folder stays.
plugstack=$etc/slurm/plugstack.conf
if [ "$(cat "$plugstack" 2>/dev/null)" = 'include /etc/slurm/plugstack.conf.d/*.conf' ] && [ -z "$(ls -A "$plugstack.d" 2>/dev/null)" ]; then
  rm "$plugstack"
  echo changed
fi

for package; do
  apt-mark showhold | grep -qx "$package" || { apt-mark hold "$package" >/dev/null; echo changed; }
done

# Our units in /etc go before the packages'. A daemon that is not this host's has none of ours.
for unit in slurmctld slurmd slurmdbd; do
  if [ ! -e "$etc/systemd/system/$unit.service" ] && systemctl --quiet is-enabled "$unit.service" 2>/dev/null; then
    systemctl --quiet disable "$unit.service" 2>/dev/null
    echo changed
  fi
done
