# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of this host: devices, its log, processes."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import struct
from collections.abc import Iterable
from typing import Any

from .leftovers import Process, job_of_cgroup, job_of_environment

_NVIDIA = "0x10de"
_STA_UNSYNC = 0x40
DRIVER = "/proc/driver/nvidia/version"


def read(path: str) -> str:
    """A small file; empty when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def device_files(paths: Iterable[str]) -> set[str]:
    """Those of the paths that are there."""
    return {path for path in paths if os.path.exists(path)}


def has_nvidia(smi: str) -> bool:
    """Whether NVIDIA's hardware, driver or tool is here, so that nvidia-smi must be able to answer."""
    folders = ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin")
    if os.path.exists(DRIVER) or any(os.path.exists(os.path.join(folder, smi)) for folder in folders):
        return True
    return any(
        read(os.path.join(device, "vendor")).strip() == _NVIDIA
        # Display controllers, not the audio and USB functions beside them.
        and read(os.path.join(device, "class")).startswith("0x03")
        for device in glob.glob("/sys/bus/pci/devices/*")
    )


def kernel_log() -> list[str]:
    """The records of the kernel's log; empty where it cannot be read."""
    records: list[str] = []
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        while True:
            try:
                record = os.read(log, 8192)
            except BrokenPipeError:
                # Overwritten while it was read: the next one is there.
                continue
            except OSError:
                return records
            if b"NVRM" in record:
                records.append(record.decode("utf-8", "replace"))
    finally:
        os.close(log)


def processes_of(uid: int, gpu_files: Iterable[str]) -> list[Process]:
    """The processes that a user started, whatever rights they have taken since."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            # Gone while it was looked at: no leftover.
            with contextlib.suppress(OSError, ValueError, IndexError):
                one = _process(int(name), uid, frozenset(gpu_files))
                if one:
                    found.append(one)
    return found


def _process(pid: int, uid: int, gpu_files: frozenset[str]) -> Process | None:
    folder = f"/proc/{pid}"
    state, started = _state(pid)
    if state == "Z" or _real_uid(folder) != uid:
        return None
    with open(f"{folder}/environ", "rb") as file:
        job = job_of_environment(file.read())
    cgroup_job = job_of_cgroup(read(f"{folder}/cgroup"))
    held = frozenset() if job or cgroup_job else _held(folder, gpu_files)
    return Process(pid, started, job, cgroup_job, held)


def _state(pid: int) -> tuple[str, int]:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        # The name of the program, in brackets, may hold spaces and brackets itself.
        words = file.read().rpartition(")")[2].split()
    return words[0], int(words[19])


def _real_uid(folder: str) -> int:
    line = next(line for line in read(f"{folder}/status").splitlines() if line.startswith("Uid:"))
    return int(line.split()[1])


def _held(folder: str, gpu_files: frozenset[str]) -> frozenset[str]:
    held = set()
    for name in os.listdir(f"{folder}/fd"):
        with contextlib.suppress(OSError):
            held.add(os.readlink(f"{folder}/fd/{name}"))
    return gpu_files & held


def is_alive(pid: int, started: int) -> bool:
    """Whether this very process, not a later one of its number, still runs."""
    try:
        state, since = _state(pid)
    except (OSError, IndexError, ValueError):
        return False
    return state not in "ZX" and since == started


class Memory:
    """What one run tells the next. It is gone with a reboot, as is what it is about."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def get(self, name: str) -> Any:
        """What was kept under a name; None when nothing was."""
        try:
            return json.loads(read(os.path.join(self.folder, f"{name}.json")))
        except ValueError:
            return None

    def keep(self, name: str, value: Any) -> None:
        """Keep it, in one step."""
        path = os.path.join(self.folder, f"{name}.json")
        partial = f"{path}.{os.getpid()}"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(partial, path)


def is_synchronised() -> bool:
    """Whether the kernel takes its clock for synchronised (adjtimex); yes where it cannot be asked."""
    # struct timex: modes and padding, offset, freq, maxerror, esterror, status; the rest is never looked at.
    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).adjtimex(buffer) < 0:
        return True
    status = struct.unpack_from("=iiqqqqi", buffer.raw)[6]
    return not status & _STA_UNSYNC
