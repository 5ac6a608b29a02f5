"""What this machine can do: checked before anything is made, with the way out in each message."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import LabError
from .settings import cache_dir, state_root

# What make venv (lab/bootstrap.sh) installs; asked for here because a package may have been removed since.
_COMMANDS = {name: name for name in ("podman", "crun", "iptables", "debootstrap")} | {"ssh": "openssh-client"}
DISK_GIB = {"cold": 20, "warm": 12}
MEMORY_GIB = 6
_FIRST_SUBNET, _LAST_SUBNET = 64, 127


def check_tools() -> None:
    """What every command needs."""
    if os.geteuid() != 0:
        raise LabError("the lab makes containers and network bridges and must run as root: use `sudo make demo`.")
    missing = sorted({package for command, package in _COMMANDS.items() if not shutil.which(command)})
    if missing:
        raise LabError(f"missing packages: {' '.join(missing)}. `make venv` installs them on Debian 12 or 13.")
    for folder in (cache_dir(), state_root()):
        folder.mkdir(parents=True, exist_ok=True)


def check_room() -> None:
    """What a lab needs to be made, not to be removed."""
    warm = (cache_dir() / "artifacts").is_dir()
    need = DISK_GIB["warm" if warm else "cold"]
    free = shutil.disk_usage(cache_dir()).free / 2**30
    if free < need:
        raise LabError(
            f"{cache_dir()} has {free:.1f} GiB free; the lab needs {need} GiB. "
            "Free some space or set LLMOPS_CACHE to a folder on a larger disk."
        )
    available = _available_memory_gib()
    if available < MEMORY_GIB:
        raise LabError(f"{available:.1f} GiB of memory are available; the lab with one model needs {MEMORY_GIB} GiB.")


def _available_memory_gib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return 0.0


def free_subnet(reserved: Sequence[str] = ()) -> str:
    """A /24 that no route of this machine and none of the reserved ones overlaps. Override: LLMOPS_LAB_SUBNET."""
    wanted = os.environ.get("LLMOPS_LAB_SUBNET")
    taken = [*_routes(), *map(ipaddress.IPv4Network, reserved)]
    if wanted:
        try:
            subnet = ipaddress.ip_network(wanted)
        except ValueError as error:
            raise LabError(f"LLMOPS_LAB_SUBNET={wanted!r} is no network: {error}. Example: 10.210.64.0/24") from error
        if subnet.version != 4 or subnet.prefixlen != 24:
            raise LabError(f"LLMOPS_LAB_SUBNET={wanted!r}: an IPv4 /24 is needed, for example 10.210.64.0/24.")
        clash = [str(route) for route in taken if route.overlaps(subnet)]
        if clash:
            raise LabError(f"LLMOPS_LAB_SUBNET={wanted} overlaps {', '.join(clash)}, which this machine uses already.")
        return str(subnet)
    for third in range(_FIRST_SUBNET, _LAST_SUBNET):
        candidate = ipaddress.ip_network(f"10.210.{third}.0/24")
        if not any(route.overlaps(candidate) for route in taken):
            return str(candidate)
    raise LabError("no free /24 between 10.210.64.0 and 10.210.126.0; set LLMOPS_LAB_SUBNET to one that is free.")


def overlapping(subnet: str) -> list[str]:
    """Routes of this machine into a subnet."""
    return [str(route) for route in _routes() if route.overlaps(ipaddress.IPv4Network(subnet))]


def _routes() -> list[ipaddress.IPv4Network]:
    listed = json.loads(subprocess.run(["ip", "-4", "-json", "route"], capture_output=True, text=True).stdout or "[]")
    return [ipaddress.IPv4Network(r["dst"], strict=False) for r in listed if r["dst"] != "default"]


def pip_settings() -> dict[str, list[str]]:
    """Where this machine's pip finds packages: handed to the hosts, which do not inherit it."""
    done = subprocess.run(
        [shutil.which("python3") or "python3", "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        option = key.split(".")[-1]
        if option in {"find-links", "index-url", "extra-index-url"}:
            found.setdefault(option, [])
            found[option] += [word for word in value.strip("'\"").split() if word not in found[option]]
    return found
