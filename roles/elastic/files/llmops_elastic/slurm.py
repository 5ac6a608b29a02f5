# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scontrol, and nothing else of Slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence

from .errors import ElasticError
from .model import Node
from .parse import parse_nodes

TIMEOUT = 60
# Names in one call: the kernel limits one argument to 128 KiB.
CHUNK = 500


def chunks(names: Iterable[str], size: int = CHUNK) -> list[list[str]]:
    """Sorted names in groups that fit a command line."""
    ordered = sorted(names)
    return [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]


class Slurm:
    """What this program asks of the controller and tells it."""

    def __init__(self, folder: str) -> None:
        self._scontrol = f"{folder}/scontrol"

    def _run(self, *words: str) -> str:
        argv = [self._scontrol, *words]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ElasticError(f"running {' '.join(argv)[:200]} failed: {error}.") from error
        if done.returncode:
            words_of_it = (done.stderr or done.stdout).strip()
            raise ElasticError(f"running {' '.join(argv)[:200]} failed: {words_of_it}.")
        return done.stdout

    def expand(self, hosts: str) -> list[str]:
        return self._run("show", "hostnames", hosts).split() if hosts else []

    def nodes(self) -> dict[str, Node]:
        return parse_nodes(self._run("--all", "--oneliner", "show", "nodes"))

    def set_addresses(self, addresses: Mapping[str, tuple[str, str]]) -> None:
        """Tell where nodes are: name -> (address, host name)."""
        for names in chunks(addresses):
            words = [
                f"nodename={','.join(names)}",
                f"nodeaddr={','.join(addresses[name][0] for name in names)}",
                f"nodehostname={','.join(addresses[name][1] for name in names)}",
            ]
            self._run("update", *words)

    def _state(self, names: Sequence[str], state: str, reason: str = "") -> None:
        for some in chunks(names):
            words = [f"nodename={','.join(some)}", f"state={state}"]
            self._run("update", *words, *([f"reason={reason}"] if reason else []))

    def down(self, names: Sequence[str], reason: str) -> None:
        """Take nodes out of service; Slurm puts their jobs back into the queue."""
        self._state(names, "down", reason)

    def power_down(self, names: Sequence[str]) -> None:
        """Give nodes back to the pool, whatever they are at: SuspendProgram is called, then they may be asked for."""
        self._state(names, "power_down_force")

    def drain(self, names: Sequence[str], reason: str) -> None:
        self._state(names, "drain", reason)

    def undrain(self, names: Sequence[str]) -> None:
        self._state(names, "undrain")
