# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from itertools import islice

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._wait import (
    Backoff,
    Seen,
    Waiter,
    WaitTimeoutError,
)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def after(fake: FakeTime, seconds: float) -> Seen[str]:
    done = fake.now >= 100.0 + seconds
    return Seen(done=done, value="there" if done else "not yet")


def test_first_look_may_be_the_last() -> None:
    fake = FakeTime()
    waited = Waiter(lambda: after(fake, 0), timeout=10, interval=1, clock=fake.clock, sleep=fake.sleep).wait()
    assert (waited.value, waited.seconds, waited.looks, fake.slept) == ("there", 0.0, 1, [])


def test_waits_with_a_steady_interval() -> None:
    fake = FakeTime()
    waited = Waiter(lambda: after(fake, 5), timeout=10, interval=2, clock=fake.clock, sleep=fake.sleep).wait()
    assert (waited.seconds, waited.looks, fake.slept) == (6.0, 4, [2, 2, 2])


def test_looks_a_last_time_at_the_deadline() -> None:
    fake = FakeTime()
    waited = Waiter(lambda: after(fake, 5), timeout=5, interval=2, clock=fake.clock, sleep=fake.sleep).wait()
    assert fake.slept == [2, 2, 1]
    assert waited.value == "there"


def test_timeout_carries_the_last_state() -> None:
    fake = FakeTime()
    with pytest.raises(WaitTimeoutError, match=r"^not reached within 5\.0 seconds \(4 looks\)$") as caught:
        Waiter(lambda: after(fake, 6), timeout=5, interval=2, clock=fake.clock, sleep=fake.sleep).wait()
    assert caught.value.last == "not yet"


def test_timeout_zero_looks_once() -> None:
    fake = FakeTime()
    with pytest.raises(WaitTimeoutError):
        Waiter(lambda: after(fake, 6), timeout=0, interval=2, clock=fake.clock, sleep=fake.sleep).wait()
    assert fake.slept == []


def test_a_predicate_may_ask_to_look_sooner() -> None:
    fake = FakeTime()

    def predicate() -> Seen[str]:
        return Seen(done=fake.now > 100, value="", look_within=0.5)

    Waiter(predicate, timeout=None, interval=60, clock=fake.clock, sleep=fake.sleep).wait()
    assert fake.slept == [0.5]


def test_what_the_predicate_raises_goes_through() -> None:
    def predicate() -> Seen[str]:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        Waiter(predicate, timeout=1, interval=1).wait()


def test_backoff_grows_to_its_most() -> None:
    assert list(islice(Backoff(first=0.25, most=2).pauses(), 5)) == [0.25, 0.5, 1.0, 2.0, 2]


@pytest.mark.parametrize(
    "pauses",
    [pytest.param({}, id="neither"), pytest.param({"interval": 1, "backoff": Backoff(1, 2)}, id="both")],
)
def test_takes_exactly_one_kind_of_pause(pauses: dict) -> None:
    with pytest.raises(ValueError, match="exactly one of interval and backoff"):
        Waiter(lambda: Seen(True, None), timeout=1, **pauses)
