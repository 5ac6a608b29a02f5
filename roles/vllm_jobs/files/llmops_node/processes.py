# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of this node: started, told to stop, and none left behind, however they end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """What a child leaves behind becomes ours, and not the first process's: an engine's core outlives its server."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _parents(proc: Path) -> dict[int, int]:
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            # Its name may hold anything, brackets included.
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def descendants(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """Every process below this one."""
    parents = _parents(proc)
    found, wave = [], [pid]
    while wave:
        wave = [child for child, parent in parents.items() if parent in wave]
        found += wave
    return found


@dataclass
class Processes:
    """The engine and what runs beside it. The first one started is the one that counts."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    statuses: dict[int, int] = field(default_factory=dict)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> int:
        """Its pid. Should we be killed, it is told to end: nobody else would tell it."""
        child = subprocess.Popen(
            list(argv),
            env=dict(environment),
            start_new_session=True,
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )
        self._started.append(child)
        return child.pid

    def named(self, name: str) -> int | None:
        """A process below us that runs this program."""
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == name:
                    return pid
        return None

    def reap(self) -> None:
        """Notes who has ended: our own and those that we adopted."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.statuses[pid] = os.waitstatus_to_exitcode(status)

    def status(self, pid: int) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        self.reap()
        return self.statuses.get(pid)

    def signal(self, pid: int, number: int) -> None:
        if pid not in self.statuses:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, pid: int, seconds: float) -> int | None:
        """How it ended, or None when it still runs after so long."""
        end = self.clock() + seconds
        while self.status(pid) is None and self.clock() < end:
            self.sleep(0.1)
        return self.status(pid)

    def end_all(self, gently: float = 10.0, seconds: float = 10.0) -> list[int]:
        """Ends all that is left below us, then kills it; returns what cannot be killed.

        Who runs a container has to take it away: killed at once, it would leave the engine in there.
        """
        for pid in descendants(os.getpid()):
            self.signal(pid, signal.SIGTERM)
        kill = self.clock() + gently
        end = kill + seconds
        while True:
            self.reap()
            left = descendants(os.getpid())
            if not left or self.clock() > end:
                return left
            for pid in left if self.clock() >= kill else ():
                self.signal(pid, signal.SIGKILL)
            self.sleep(0.05)
