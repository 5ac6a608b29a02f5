"""What a process may do where it runs: probe.py cores|devices|memory MIB [FOLDER]. Runs on the host, prints JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable


def _tried(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return str(error.strerror)
    return "done"


def cores() -> dict[str, object]:
    """Its own cores, and what becomes of it when it asks for each one that the host has."""
    found = sorted(os.sched_getaffinity(0))
    asked = {}
    for core in range(os.cpu_count() or 1):
        asked[core] = _tried(lambda core=core: os.sched_setaffinity(0, {core}))  # type: ignore[misc]
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    return {"cores": found, "asked": asked, "after": sorted(os.sched_getaffinity(0))}


def devices() -> dict[str, object]:
    """What opening each GPU file says. A file that may be opened has no driver behind it here: no such device."""
    said = {number: _tried(lambda number=number: os.open(f"/dev/nvidia{number}", os.O_RDWR)) for number in (0, 1)}  # type: ignore[misc]
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS")
    return {"open": said, **{name: os.environ.get(name) for name in names}}


def memory(mib: str, folder: str = "") -> dict[str, object]:
    """Take memory a MiB at a time, or fill a file in memory with it."""
    held = []
    piece = b"\1" * 2**20
    if folder:
        with open(f"{folder}/probe-{os.getpid()}", "wb") as file:
            os.unlink(file.name)
            for _number in range(int(mib)):
                file.write(piece)
    for _number in range(0 if folder else int(mib)):
        held.append(bytearray(piece))
    with open("/proc/self/status") as status:
        swapped = [line.split()[1] for line in status if line.startswith("VmSwap:")]
    return {"took": int(mib), "swapped_kib": int(swapped[0])}


if __name__ == "__main__":
    json.dump({"cores": cores, "devices": devices, "memory": memory}[sys.argv[1]](*sys.argv[2:]), sys.stdout)  # type: ignore[operator]
