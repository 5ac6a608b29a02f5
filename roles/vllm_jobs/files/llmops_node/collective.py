# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small sum over all nodes by the library that the engine will use.

Run by itself: collective.py gloo|nccl ADDRESS PORT RANK SIZE

Connections that answer are not yet a network that NCCL can use: a wrong plugin, a blocked fabric or a firewall in front
of random ports shows here in seconds, and not as a model that hangs while it loads.
"""

from __future__ import annotations

import datetime
import importlib
import sys
import time
from collections.abc import Sequence

_NUMBERS = 1 << 20
_ROUNDS = 5
_SECONDS = 60


def main(words: Sequence[str]) -> int:
    backend, address, port, rank, size = words[0], words[1], words[2], int(words[3]), int(words[4])
    torch = importlib.import_module("torch")
    dist = importlib.import_module("torch.distributed")
    dist.init_process_group(
        backend,
        init_method=f"tcp://{address}:{port}",
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(seconds=_SECONDS),
    )
    numbers = torch.ones(_NUMBERS, device="cuda:0" if backend == "nccl" else "cpu")
    dist.all_reduce(numbers)
    wrong = float(numbers[0]) != size
    start = time.monotonic()
    for _round in range(_ROUNDS):
        dist.all_reduce(numbers)
    if backend == "nccl":
        torch.cuda.synchronize()
    milliseconds = (time.monotonic() - start) / _ROUNDS * 1000
    dist.destroy_process_group()
    if wrong:
        print(f"The sum of {size} ones by {backend} is {float(numbers[0]):g}.", flush=True)
        return 1
    if rank == 0:
        print(f"A sum of 4 MiB over {size} nodes by {backend} takes {milliseconds:.1f} ms.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
