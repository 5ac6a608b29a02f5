"""How podman is called here.

The lab has a storage of its own (in the cache folder), so it cannot harm a user's images, containers and networks.

Two limits of the machine are detected and worked around, else nothing special is done:
- cgroups in hybrid mode: crun refuses to run, so podman lives in ONE persistent mount namespace that sees a pure
  cgroup2 tree (a new namespace per call would lose the network namespaces of the call before);
- no CAP_SYS_RESOURCE (already inside a container): podman must not raise limits.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import LabError
from .settings import cache_dir, key_of

CAP_SYS_RESOURCE = 24
# A state of ours: podman says running, and the process is gone.
DEAD = "dead"

_LIMITED = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
pids_limit = 0
"""


def run_dir() -> Path:
    """What podman needs until the next reboot; one folder for each storage, as podman demands."""
    return Path("/run/llmops-cluster") / key_of(str(cache_dir()))


def hybrid_cgroups() -> bool:
    """True when /sys/fs/cgroup is not a pure cgroup2 mount."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if target == "/sys/fs/cgroup":
            return kind != "cgroup2"
    return True


def _lacks_sys_resource() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return True


def _namespace() -> Path:
    return run_dir() / "ns" / "mnt"


def _is_mountpoint(path: Path) -> bool:
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _sh(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"preparing podman: {' '.join(argv)} failed: {done.stderr.strip() or done.stdout.strip()}")


def ensure_ready() -> None:
    """Make the namespace and the settings that podman needs on this machine. Safe to call again."""
    run_dir().mkdir(mode=0o755, parents=True, exist_ok=True)
    config = cache_dir() / "containers.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(_LIMITED if _lacks_sys_resource() else "")
    if not hybrid_cgroups() or _namespace_lives():
        return
    netns = Path("/run/netns")
    netns.mkdir(exist_ok=True)
    if not _is_mountpoint(netns):
        _sh("mount", "--bind", str(netns), str(netns))
    _sh("mount", "--make-shared", str(netns))
    holder = _namespace().parent
    holder.mkdir(exist_ok=True)
    if not _is_mountpoint(holder):
        _sh("mount", "--bind", str(holder), str(holder))
    _sh("mount", "--make-private", str(holder))
    _namespace().touch()
    change = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    _sh("unshare", f"--mount={_namespace()}", "--propagation", "unchanged", "bash", "-c", change)


def _namespace_lives() -> bool:
    """True when the namespace file still holds a namespace (after a kill or a reboot it is an empty file)."""
    probe = ["nsenter", f"--mount={_namespace()}", "true"]
    return _namespace().exists() and subprocess.run(probe, capture_output=True).returncode == 0


def argv(*arguments: str) -> list[str]:
    """The full command line of one podman call."""
    storage = cache_dir() / "podman"
    command = [
        "podman",
        f"--root={storage / 'storage'}",
        f"--runroot={run_dir() / 'podman'}",
        f"--network-config-dir={storage / 'networks'}",
        *arguments,
    ]
    return ["nsenter", f"--mount={_namespace()}", *command] if hybrid_cgroups() else command


def environment() -> dict[str, str]:
    return {**os.environ, "CONTAINERS_CONF": str(cache_dir() / "containers.conf")}


def run(*arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """One podman call, output captured. With `check`, a failure is a `LabError` that carries podman's words."""
    done = subprocess.run(argv(*arguments), capture_output=True, text=True, input=stdin, env=environment())
    if check and done.returncode:
        words = done.stderr.strip() or done.stdout.strip()
        # podman notes in its storage where that lies: a cache that was moved is of no use to it.
        hint = " Remove the cache and try again: make clean-cache" if "configuration mismatch" in words else ""
        raise LabError(f"podman {' '.join(arguments[:3])} failed: {words}{hint}")
    return done


def exec_in(container: str, command: Sequence[str], check: bool = True, stdin: str | None = None) -> str:
    """Run a command in a container and return what it printed."""
    flags = ["-i"] if stdin is not None else []
    return run("exec", *flags, container, *command, check=check, stdin=stdin).stdout


def containers(prefix: str) -> dict[str, str]:
    """Containers whose name begins with `prefix`, with their state (running, exited, ..., DEAD)."""
    listed = json.loads(run("ps", "--all", "--format", "json").stdout or "[]")
    return {one["Names"][0]: _state(one) for one in listed if one["Names"][0].startswith(prefix)}


def _state(listed: dict[str, Any]) -> str:
    """podman goes by what the container's monitor wrote last; that may have been killed with it."""
    lost = listed["State"] == "running" and not _lives(int(listed["Pid"]))
    return DEAD if lost else str(listed["State"])


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def bury(container: str) -> None:
    """Tell podman of a death that no monitor saw: podman stop would wait for the monitor's word for good."""
    listed = json.loads(run("inspect", container).stdout)[0]
    exits = Path("/run/libpod/exits")
    if exits.is_dir():
        (exits / listed["Id"]).write_text("137")
    run("container", "cleanup", container, check=False)


def remove(container: str) -> None:
    """Remove one container, whatever state it is in; podman may need more than one try."""
    for _ in range(5):
        run("rm", "--force", "--time", "5", "--volumes", container, check=False)
        if run("container", "exists", container, check=False).returncode:
            return
    raise LabError(f"container {container} could not be removed; try `make demo-down` again.")
