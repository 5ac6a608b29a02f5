# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps this node's part of the engine until it ends, is told to end, or another node's part is gone."""

from __future__ import annotations

import select
import signal
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from llmops_node.mesh import Link
from llmops_node.processes import Processes

# What a process of the engine gets, beyond the time to finish requests, before it is killed; a profiler writes then.
GRACE = 10.0
_PAUSE = 0.2
_ENDED_BY_ITSELF = 70


def say(text: str) -> None:
    print(text, flush=True)


def exit_status(status: int | None, asked: bool) -> int:
    """What the step is to end with; None is an engine that had to be killed."""
    if status is None:
        return 137
    if asked:
        # Ended by the signal itself, before the engine had its own way to stop; a shell says it by 143.
        return 0 if _code(status) == 128 + signal.SIGTERM else _code(status)
    if status == 0:
        say("The engine ended by itself with status 0, which is what a dead engine does.")
        return _ENDED_BY_ITSELF
    return _code(status)


def _code(status: int) -> int:
    return status if status >= 0 else 128 - status


def news(link: Link) -> t.Any:
    """What the other end says: a value, False when it is gone, None when it is silent."""
    if not select.select([link.connection], [], [], 0)[0]:
        return None
    value = link.receive(1.0)
    return False if value is None else value


@dataclass
class Keeper:
    """One node's loop. `drain`: seconds that running requests may take when the job is stopped; `grace`: the rest."""

    processes: Processes
    drain: float
    names: list[str]
    grace: float = GRACE
    asked: bool = False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def ask(self, _number: int, _frame: t.Any) -> None:
        """Slurm's signal: the job is to end."""
        self.asked = True

    def stop(self, pid: int, seconds: float) -> int | None:
        self.processes.signal(pid, signal.SIGTERM)
        return self.processes.wait(pid, seconds)

    def first(self, pid: int, beside: int | None, links: dict[int, Link]) -> int:
        """On the first node, which has the server: it drains, and the others stay until it has."""
        lost = ""
        while self.processes.status(pid) is None and not self.asked and not lost:
            gone = [self.names[rank] for rank, link in links.items() if news(link) is False]
            if gone:
                lost = f"The part of the engine on {', '.join(gone)} is gone, so this one cannot go on."
            elif beside is not None and self.processes.status(beside) is not None:
                lost = "The process beside the engine has ended, so the engine cannot go on."
            self.sleep(_PAUSE)
        if lost and not self.asked:
            say(lost)
            self.stop(pid, GRACE)
            return _ENDED_BY_ITSELF
        if self.asked:
            return exit_status(self.stop(pid, self.drain + self.grace), True)
        # Slurm's signal may come to the engine first.
        self.sleep(_PAUSE)
        return exit_status(self.processes.status(pid), self.asked)

    def other(self, pid: int, link: Link) -> int:
        """On the others: asked to end, they serve on until the first node has finished its requests."""
        end, told = None, None
        while self.processes.status(pid) is None and told is None and (end is None or self.clock() < end):
            told = news(link)
            if self.asked and end is None:
                end = self.clock() + self.drain + self.grace
            self.sleep(_PAUSE)
        status = self.processes.status(pid)
        if status is None:
            status = self.stop(pid, GRACE if told is False else self.grace)
            if told is False and not self.asked:
                say("The first node's part of the engine is gone, so this one ends.")
                return _ENDED_BY_ITSELF
            return exit_status(status, True) if told is None or told is False else int(told)
        self.sleep(_PAUSE)
        return exit_status(status, self.asked)
