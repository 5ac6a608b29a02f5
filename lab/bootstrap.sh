#!/usr/bin/env bash
# Install what a fresh Debian 12 or 13 lacks: the packages of the lab and the Python tools of pyproject.toml in .venv.
# Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
# The machine's own Python, also when the environment that is about to be made anew comes first on the path.
python=$(PATH=${PATH//"$PWD/.venv/bin:"/} command -v python3) || { echo "python3 is missing" >&2; exit 1; }
sudo=()
[[ $(id -u) == 0 ]] || sudo=(sudo)

declare -A package_of=(
  [podman]=podman [crun]=crun [iptables]=iptables [debootstrap]=debootstrap [ssh]=openssh-client [zstd]=zstd
  [ip]=iproute2 [git]=git [/usr/lib/podman/netavark]=netavark [/usr/lib/podman/aardvark-dns]=aardvark-dns
)
missing=()
for command in "${!package_of[@]}"; do
  command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
  command -v apt-get >/dev/null || {
    echo "Missing: ${missing[*]}. They are installed here with apt-get only; install them by hand and try again." >&2
    exit 1
  }
  echo "Installing packages: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# One stamp for the pins: a changed pyproject.toml or another Python installs anew.
stamp=.venv/.installed-$({ cat pyproject.toml; "$python" --version; pwd; } | sha256sum | cut -c1-16)
if [[ ! -e $stamp ]]; then
  echo "Installing the Python tools into .venv"
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check uv
  UV_SYSTEM_CERTS=1 .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python -r pyproject.toml
  # The collection under its full name for every tool that runs in this environment.
  packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir -p "$packages/ansible_collections/llmops"
  ln -sfn "$PWD" "$packages/ansible_collections/llmops/cluster"
  touch "$stamp"
fi
