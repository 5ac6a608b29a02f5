"""An emulated host: a Debian with its own kernel, where a container shares this machine's. For what a container cannot
show, such as cgroup v2 on a machine that has it not.

    python -m lab.vm up NAME INVENTORY      # one host; KVM where it can be used, emulation else
    python -m lab.vm down NAME INVENTORY

Each start has a fresh disk over the cached one. The host is reached through a port of 127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import vm_image, vm_seed
from .errors import LabError
from .hosts import ssh_answers
from .lock import only_one
from .settings import ADMIN, Host, Lab, load

QEMU = "qemu-system-x86_64"
_PACKAGES = {QEMU: "qemu-system-x86", "qemu-img": "qemu-utils", "mkfs.ext4": "e2fsprogs", "mkswap": "util-linux"}
# An emulated boot on a busy machine.
BOOT_SECONDS = 600
_STOP_SECONDS = 20


@dataclass(frozen=True)
class Shape:
    """What hardware the host has."""

    cpus: int = 2
    memory_mib: int = 2560
    swap_mib: int = 1024


def check_tools() -> None:
    missing = sorted({package for command, package in _PACKAGES.items() if not shutil.which(command)})
    if missing:
        raise LabError(
            f"missing packages for an emulated host: {' '.join(missing)}. `make test-isolation` installs them, as does "
            f"`apt-get install --no-install-recommends {' '.join(missing)}`."
        )


def up(lab: Lab, shape: Shape = Shape()) -> None:
    """Start the host of a lab unless it runs."""
    host = _only_host(lab)
    if running(lab) is None:
        disk = vm_image.ensure(host.suite)
        lab.state.mkdir(parents=True, exist_ok=True)
        _make_disks(lab, host, disk, shape)
        port, accelerator = _free_port(), "kvm" if _has_kvm() else "tcg"
        # All that later commands ask for is written first: whoever finds it running finds its way in too.
        lab.write_facts(id=lab.name, port=port, accelerator=accelerator)
        _write_ssh_config(lab, host, port)
        _run(QEMU, "-accel", accelerator, *_arguments(lab, disk, shape, port))
    _wait_for_ssh(lab)


def down(lab: Lab) -> None:
    """Switch the host off and remove all that is its own."""
    _only_host(lab)
    stop(lab)
    shutil.rmtree(lab.state, ignore_errors=True)


def running(lab: Lab) -> int | None:
    """The process of the lab's host, if it is there: the number that qemu wrote, and a process that was given this
    lab's file for it. A number alone may be somebody else's by now."""
    try:
        pid = int(_pid_file(lab).read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(_pid_file(lab)) in arguments else None


def stop(lab: Lab) -> None:
    """End it at once: its disk is thrown away at the next start."""
    pid = running(lab)
    if pid is None:
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Looked at again with the handle held: now it is this process, whatever becomes of its number.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if running(lab) == pid:
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], _STOP_SECONDS)[0]:
                return
    finally:
        os.close(handle)
    raise LabError(f"stopping the emulated host of lab {lab.name!r} failed: process {pid} does not end.")


def _only_host(lab: Lab) -> Host:
    if "subnet" in lab.facts():
        raise LabError(f"lab {lab.name!r} is made of containers: use python -m lab, or another name.")
    if len(lab.hosts) != 1:
        names = ", ".join(host.name for host in lab.hosts)
        raise LabError(f"{lab.inventory}: an emulated lab has one host, which has no network to others; found {names}.")
    return lab.hosts[0]


def _pid_file(lab: Lab) -> Path:
    return lab.state / "qemu.pid"


def _make_disks(lab: Lab, host: Host, disk: vm_image.Disk, shape: Shape) -> None:
    overlay, swap = lab.state / "disk.qcow2", lab.state / "swap.img"
    _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk.root), str(overlay))
    swap.unlink(missing_ok=True)
    with swap.open("wb") as file:
        file.truncate(shape.swap_mib * 2**20)
    swap.chmod(0o600)
    _run("mkswap", "-q", str(swap))
    vm_seed.write(lab, host, lab.state / "seed.tar")


def _arguments(lab: Lab, disk: vm_image.Disk, shape: Shape, port: int) -> list[str]:
    drives = [("disk.qcow2", "qcow2"), ("swap.img", "raw"), ("seed.tar", "raw")]
    return [
        *("-smp", str(shape.cpus), "-m", str(shape.memory_mib), "-cpu", "max"),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initrd)),
        *("-append", "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off"),
        *(word for name, form in drives for word in ("-drive", _drive(lab.state / name, form))),
        *("-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-rng-pci", "-serial", f"file:{_console(lab)}"),
        *("-display", "none", "-monitor", "none", "-no-reboot", "-nodefaults"),
        *("-daemonize", "-pidfile", str(_pid_file(lab))),
    ]


def _drive(path: Path, form: str) -> str:
    # A comma within a value is written twice. Nothing of it must outlive the host, so nothing waits for a disk.
    return f"file={str(path).replace(',', ',,')},format={form},if=virtio,cache=unsafe"


def _console(lab: Lab) -> Path:
    return lab.state / "console.log"


def _has_kvm() -> bool:
    """Whether the processor helps. Some virtual machines have /dev/kvm without it, on which no kernel starts."""
    flags = set(re.findall(r"\b(?:vmx|svm)\b", Path("/proc/cpuinfo").read_text()))
    return bool(flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_ssh_config(lab: Lab, host: Host, port: int) -> None:
    known = lab.state / "known_hosts"
    public = vm_seed.ssh_key(lab, f"{host.name}_host_key").with_suffix(".pub").read_text().split()
    known.write_text(f"{host.name} {public[0]} {public[1]}\n")
    lab.ssh_config.write_text(
        f"Host {host.name}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {host.name}\n  User {ADMIN}\n"
        f"  IdentityFile {vm_seed.ssh_key(lab)}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
        "  StrictHostKeyChecking yes\n"
    )


def _wait_for_ssh(lab: Lab) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not ssh_answers("127.0.0.1", int(lab.facts()["port"]), timeout=5):
        if running(lab) is None or time.monotonic() > deadline:
            words = _console(lab).read_text(errors="replace")[-3000:] if _console(lab).exists() else ""
            how = "ended" if running(lab) is None else f"gave no SSH for {BOOT_SECONDS} s"
            raise LabError(f"the emulated host of lab {lab.name!r} {how}. The end of its console:\n{words}")
        time.sleep(0.5)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{shlex.join(argv)} failed: {done.stderr.strip()[-1000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="lab.vm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("name", help="which lab")
    parser.add_argument("inventory", type=Path, help="folder with hosts.yml, which has one host")
    given = parser.parse_args()
    try:
        check_tools()
        lab = load(given.name, given.inventory)
        started = time.monotonic()
        with only_one(lab):
            (up if given.command == "up" else down)(lab)
        if given.command == "up":
            took, how = time.monotonic() - started, lab.facts()["accelerator"]
            print(f"lab {lab.name}: up after {took:.0f} s ({how}); ssh -F {lab.ssh_config} {lab.hosts[0].name}")
    except LabError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
