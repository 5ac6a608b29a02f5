# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, for every module of the collection: a predicate that looks, and a waiter that owns the clock.

Private to the collection. Clock and sleep are injected, so that tests wait hours in no time.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = t.TypeVar("T")


@dataclass(frozen=True)
class Seen(t.Generic[T]):
    """What one look found: whether it is what was waited for, and the state to show if time runs out.

    A predicate that knows of an earlier deadline than the waiter's own says in `look_within` how many seconds may pass
    before it must look again.
    """

    done: bool
    value: T
    look_within: float | None = None


@dataclass(frozen=True)
class Waited(t.Generic[T]):
    """A wait that ended well."""

    value: T
    seconds: float
    looks: int


class WaitTimeoutError(Exception):
    """Time ran out. Carries the last state seen, because that is what the message has to show."""

    def __init__(self, *, last: t.Any, seconds: float, looks: int) -> None:
        super().__init__(f"not reached within {seconds:.1f} seconds ({looks} looks)")
        self.last = last
        self.seconds = seconds
        self.looks = looks


@dataclass(frozen=True)
class Backoff:
    """Pauses between looks: `first`, then `factor` times longer each, never more than `most` seconds."""

    first: float
    most: float
    factor: float = 2.0

    def pauses(self) -> Iterator[float]:
        pause = min(self.first, self.most)
        while True:
            yield pause
            pause = min(pause * self.factor, self.most)


class Waiter(t.Generic[T]):
    """Calls `predicate` until it is done or `timeout` seconds have passed.

    There is always a first look, and always a last one at the deadline, so `timeout=0` means "look once".
    `timeout=None` waits without end. Give either `interval` (a steady pause) or `backoff`. Whatever the predicate
    raises goes through: that is how a wait fails at once.
    """

    def __init__(
        self,
        predicate: Callable[[], Seen[T]],
        *,
        timeout: float | None,
        interval: float | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if (interval is None) == (backoff is None):
            raise ValueError("Waiter takes exactly one of interval and backoff")
        self._predicate = predicate
        self._timeout = timeout
        self._backoff = (
            backoff if backoff is not None else Backoff(first=t.cast(float, interval), most=t.cast(float, interval))
        )
        self._clock = clock
        self._sleep = sleep

    def wait(self) -> Waited[T]:
        started = self._clock()
        pauses = self._backoff.pauses()
        looks = 0
        while True:
            seen = self._predicate()
            looks += 1
            elapsed = self._clock() - started
            if seen.done:
                return Waited(value=seen.value, seconds=elapsed, looks=looks)
            if self._timeout is not None and elapsed >= self._timeout:
                raise WaitTimeoutError(last=seen.value, seconds=elapsed, looks=looks)
            self._sleep(self._shorten(next(pauses), elapsed, seen.look_within))

    def _shorten(self, pause: float, elapsed: float, look_within: float | None) -> float:
        limits = [pause]
        if self._timeout is not None:
            limits.append(self._timeout - elapsed)
        if look_within is not None:
            limits.append(look_within)
        return max(0.0, min(limits))
