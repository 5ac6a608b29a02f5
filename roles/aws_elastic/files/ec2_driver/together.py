# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many calls side by side, within a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from .model import DriverError
from .refusals import TOO_OFTEN

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")
# Ids in one call of EC2.
CHUNK = 100


class Deadline:
    """How long there is still."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + seconds

    def left(self) -> float:
        return max(0.0, self._ends - self._clock())


def side_by_side(work: Callable[[T], R], items: Iterable[T], workers: int, seconds: float) -> dict[T, R]:
    """What is done in time. What is not goes on in threads that nobody waits for: leave the process by os._exit."""
    pool = ThreadPoolExecutor(max_workers=workers)
    futures = {item: pool.submit(work, item) for item in items}
    wait(futures.values(), timeout=seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return {item: future.result() for item, future in futures.items() if future.done() and not future.cancelled()}


def in_batches(
    call: Callable[[Sequence[str]], None], ids: Sequence[str], workers: int, deadline: Deadline
) -> dict[str, DriverError | None]:
    """One call for many instances. EC2 refuses all for the sake of one: then each is asked for alone."""

    def alone(one: str) -> DriverError | None:
        try:
            call([one])
        except DriverError as error:
            return error
        return None

    found: dict[str, DriverError | None] = {}
    for begin in range(0, len(ids), CHUNK):
        some = ids[begin : begin + CHUNK]
        try:
            call(some)
            found.update(dict.fromkeys(some))
        except DriverError as error:
            found.update(dict.fromkeys(some, error))
            # More calls would be no cure for too many.
            if len(some) > 1 and error.code not in TOO_OFTEN:
                found.update(side_by_side(alone, some, workers, deadline.left()))
    return found
