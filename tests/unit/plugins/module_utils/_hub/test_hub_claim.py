# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import claim as hub_claim
from ansible_collections.llmops.cluster.plugins.module_utils._hub.claim import FREE, STALE, Claim, Owner, Tickets, claim
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import spawn

WHAT = "org/tiny in /opt/models"
ELSEWHERE = Owner(host="gpu2", pid=7, place="another boot", started="1")


class Time:
    """A clock that only sleeping moves, and what happens meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._meanwhile()

    def clock(self) -> float:
        return self.now


def left_by(folder: Path, owner: Owner | str, number: int = 4) -> Path:
    path = Tickets(folder).path(number)
    path.write_text(owner if isinstance(owner, str) else owner.dump())
    return path


def held(folder: Path, timeout: float, time: Time) -> list[str]:
    with claim(folder, what=WHAT, timeout=timeout, clock=time.clock, sleep=time.sleep):
        return sorted(os.listdir(folder))


def test_a_claim_is_made_given_up_and_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    for number in (1, 2, 3):
        assert held(folder, 0, Time()) == [f"ticket-{number:08d}"]
        assert Tickets(folder).path(number).read_text() == FREE


def test_the_holder_is_named_to_those_who_waited_in_vain(tmp_path: Path) -> None:
    time = Time()
    with claim(tmp_path, what=WHAT, timeout=0), pytest.raises(HubError) as caught:
        held(tmp_path, 60, time)
    assert caught.value.kind == "lock"
    assert caught.value.message == (
        f"Locking {WHAT} failed: {Owner.me()} has been writing it for more than 60 seconds. "
        "Wait for that run to end, or raise lock_timeout."
    )
    assert str(Owner.me()).startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize(
    ("owner", "waited"),
    [
        pytest.param(FREE, 0, id="free"),
        pytest.param(Owner(host="here", pid=2**22 + 1, place=hub_claim._place(), started="1"), 0, id="gone"),
        pytest.param(
            Owner(host="here", pid=os.getpid(), place=hub_claim._place(), started="1"), 0, id="pid-used-again"
        ),
        pytest.param(ELSEWHERE, STALE, id="another-host"),
        pytest.param("", STALE, id="died-while-writing"),
        pytest.param("{}", STALE, id="unknown-text"),
    ],
)
def test_what_was_left_over_is_taken_over(tmp_path: Path, owner: Owner | str, waited: float) -> None:
    left_by(tmp_path, owner)
    time = Time()
    assert held(tmp_path, 1000, time) == ["ticket-00000005"]
    assert waited <= time.now <= waited + 1


def test_a_ticket_that_another_host_renews_is_respected(tmp_path: Path) -> None:
    path = left_by(tmp_path, ELSEWHERE)
    renewals = iter(range(10**6))
    # The other host's clock is a day behind; only that the time changes matters.
    time = Time(lambda: os.utime(path, ns=(0, next(renewals) * 10**9)))
    with pytest.raises(HubError, match="process 7 on gpu2 has been writing it for more than 1000 seconds"):
        held(tmp_path, 1000, time)


def test_a_killed_process_is_gone_before_its_parent_noticed(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = hub_claim._started(child.pid)
    owner = Owner(host="here", pid=child.pid, place=hub_claim._place(), started=started or "")
    assert owner.alive() is True
    child.kill()
    while hub_claim._started(child.pid):
        time.sleep(0.001)
    assert owner.alive() is False
    child.communicate()
    assert owner.alive() is False


@pytest.mark.parametrize("place", ["", "another boot"])
def test_a_process_of_another_place_is_not_judged_by_its_number(place: str) -> None:
    assert Owner(host="x", pid=os.getpid(), place=place, started="1").alive() is None


def test_of_two_that_saw_the_same_left_over_ticket_one_wins(tmp_path: Path) -> None:
    left_by(tmp_path, FREE)
    tickets = Tickets(tmp_path)
    assert tickets.take(5, "first") is True
    assert tickets.take(5, "second") is False
    assert tickets.path(5).read_text() == "first"


def test_a_latecomer_with_a_lower_number_loses(tmp_path: Path) -> None:
    left_by(tmp_path, FREE)
    tickets = Tickets(tmp_path)
    assert tickets.take(5, FREE)
    assert tickets.take(6, "owner")
    assert os.listdir(tmp_path) == ["ticket-00000006"]
    assert tickets.take(5, "latecomer") is False
    assert os.listdir(tmp_path) == ["ticket-00000006"]


def test_a_run_that_stood_still_learns_that_it_lost(tmp_path: Path) -> None:
    with claim(tmp_path, what=WHAT, timeout=0) as mine:
        mine.check()
        assert Tickets(tmp_path).take(2, "other")
        with pytest.raises(HubError) as caught:
            mine.check()
    assert caught.value.kind == "lock"
    assert caught.value.message.startswith(f"Writing {WHAT} failed: this run stood still for so long that another one")
    assert Tickets(tmp_path).path(2).read_text() == "other"


@pytest.mark.parametrize(
    ("owner", "age", "counts"),
    [
        pytest.param(Owner.me(), 10**6, True, id="at-work"),
        pytest.param(Owner(host="here", pid=os.getpid(), place=hub_claim._place(), started="1"), 0, False, id="gone"),
        pytest.param(ELSEWHERE, STALE - 5, True, id="another-host"),
        pytest.param(ELSEWHERE, STALE + 5, False, id="another-host-silent"),
    ],
)
def test_what_others_announced_counts_while_they_are_at_work(
    tmp_path: Path, owner: Owner, age: float, counts: bool
) -> None:
    for name in ("mine", "other", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "lock-of-another-program").write_text("")
    path = left_by(tmp_path / "other", owner.dump().replace("}", ', "bytes": 70}'))
    with claim(tmp_path / "mine", what=WHAT, timeout=0) as mine:
        now = Tickets(tmp_path / "mine").path(1).stat().st_mtime
        os.utime(path, (now - age, now - age))
        assert mine.announced_by_others() == ({"other": 70} if counts else {})


def test_the_ticket_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_claim, "BEAT", 0.001)
    path = left_by(tmp_path, ELSEWHERE, number=1)
    os.utime(path, ns=(0, 0))
    stop = threading.Event()
    thread = threading.Thread(target=Claim(Tickets(tmp_path), 1, WHAT).beat, args=(stop,))
    thread.start()
    while not path.stat().st_mtime_ns:
        time.sleep(0.001)
    stop.set()
    thread.join()


CONTENDER = """
import fcntl, os, random, signal, sys, time
from pathlib import Path
from ansible_collections.llmops.cluster.plugins.module_utils._hub import claim as hub_claim
fcntl.flock = fcntl.lockf = lambda *args: None
hub_claim.LOOK_INTERVAL = 0.003
folder, dies = Path(sys.argv[1]), sys.argv[2] == "dies"
for turn in range(10):
    with hub_claim.claim(folder / "locks", what="x", timeout=60):
        inside = folder / "inside"
        if inside.exists():
            pid, started = inside.read_text().split()
            if hub_claim._started(int(pid)) == started:
                sys.exit(f"{pid} and {os.getpid()} are inside")
        inside.write_text(f"{os.getpid()} {hub_claim._started(os.getpid())}")
        time.sleep(random.random() / 300)
        if dies and turn == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(folder / "count", "a") as count:
            count.write("x")
        inside.unlink()
"""


def test_eight_processes_never_meet_though_some_are_killed_inside(tmp_path: Path) -> None:
    fates = ["dies", "lives"] * 4
    random.Random(3).shuffle(fates)
    running = [spawn(CONTENDER, str(tmp_path), fate, stderr=subprocess.PIPE) for fate in fates]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert ends == [("", -9 if fate == "dies" else 0) for fate in fates]
    assert len((tmp_path / "count").read_text()) == 4 * 10 + 4 * 2
