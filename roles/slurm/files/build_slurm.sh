#!/usr/bin/env bash
# Compile Slurm: build_slurm.sh FOLDER PREFIX [CONFIGURE FLAG ...]
# FOLDER/source holds the unpacked source; the result is left in FOLDER/stage. Part of the build's key: a change here
# builds anew.
set -euo pipefail
folder=$1 prefix=$2
shift 2
cd "$folder/source"
# configure wants an existing folder for the PAM modules; they are moved under the prefix below.
mkdir -p "$folder/pam"
./configure --prefix="$prefix" --sysconfdir=/etc/slurm --localstatedir=/var --runstatedir=/run \
  --with-pam_dir="$folder/pam" "$@" >"$folder/configure.log" 2>&1 ||
  { tail -n 30 "$folder/configure.log" >&2; exit 1; }
# Plugins that the roles rely on: configure only warns when a library is missing, so their absence is an error here.
for macro in HAVE_JSON HAVE_BPF HAVE_HWLOC HAVE_NUMA; do
  grep -q "^#define $macro 1" config.h || { echo "configure found no library for $macro" >&2; exit 1; }
done
make -j"$(nproc)" >"$folder/make.log" 2>&1 || { tail -n 30 "$folder/make.log" >&2; exit 1; }
for part in src doc/man contribs/pam_slurm_adopt contribs/pam; do
  make -C "$part" install DESTDIR="$folder/stage" >>"$folder/make.log" 2>&1 ||
    { tail -n 30 "$folder/make.log" >&2; exit 1; }
done
stage=$folder/stage$prefix
mv "$folder/stage$folder/pam" "$stage/lib/security"
find "$stage" -name '*.la' -delete
find "$stage" -type f \( -perm -u+x -o -name '*.so*' \) -exec strip --strip-unneeded {} + 2>/dev/null || true
for plugin in data_parser_v accounting_storage_mysql gres_gpu select_cons_tres cgroup_v2 auth_munge; do
  compgen -G "$stage/lib/slurm/$plugin*.so" >/dev/null || { echo "the build has no plugin $plugin" >&2; exit 1; }
done
# What the build took; `make bench` sets the install on the other hosts beside it.
printf '{"seconds": %d, "compiler": "%s"}\n' "$SECONDS" "$(gcc -dumpfullversion)" >"$stage/share/llmops-build.json"
