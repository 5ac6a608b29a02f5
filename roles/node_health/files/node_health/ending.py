# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the processes that a job left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence

from .host import is_alive
from .leftovers import Process

_ROUNDS = 3


def end(find: Callable[[], Sequence[Process]], grace: float) -> tuple[int, list[Process]]:
    """Ask the processes to end, then make them; how many there were, and those that are still there.

    They are looked for anew after each round, for one may have started another meanwhile.
    """
    seen: set[tuple[int, int]] = set()
    found = list(find())
    for number in range(_ROUNDS):
        if not found:
            break
        seen |= {(one.pid, one.started) for one in found}
        if number == 0:
            _signal(found, signal.SIGTERM, grace)
        _signal(found, signal.SIGKILL, 2.0)
        found = list(find())
    return len(seen), found


def _signal(processes: Sequence[Process], number: signal.Signals, patience: float) -> None:
    """Signal these very processes and wait until they are gone, or patience is."""
    with contextlib.ExitStack() as stack:
        waiting = select.poll()
        handles = set()
        for one in processes:
            # A handle first, then the look at who it is: a number that was given anew is not signalled.
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(one.pid)
                stack.callback(os.close, handle)
                if is_alive(one.pid, one.started):
                    signal.pidfd_send_signal(handle, number)
                    waiting.register(handle, select.POLLIN)
                    handles.add(handle)
        ends = time.monotonic() + patience
        while handles and time.monotonic() < ends:
            for handle, _events in waiting.poll(max(1, int(1000 * (ends - time.monotonic())))):
                waiting.unregister(handle)
                handles.discard(handle)
