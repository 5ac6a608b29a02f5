# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service, turn by turn, with a fake metadata service and a fake Slurm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.roles.spot_notice.files.spot_notice.daemon import ACTION, REBALANCE, Daemon, run
from ansible_collections.llmops.cluster.roles.spot_notice.files.spot_notice.decide import Job, Node
from ansible_collections.llmops.cluster.roles.spot_notice.files.spot_notice.metadata import Metadata, MetadataError
from ansible_collections.llmops.cluster.roles.spot_notice.files.spot_notice.slurm import SlurmError

from tests.fake_imds import FakeImds

NOTICE = '{"action": "terminate", "time": "2026-11-21T12:34:56Z"}'
REASON = "spot: EC2 takes this instance back at 12:34:56 UTC"
AT = 1795264496.0


class FakeService:
    """Documents by path; a fault for all of them."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        self.fault = ""

    def get(self, path: str) -> str | None:
        if self.fault:
            raise MetadataError(self.fault)
        return self.documents.get(path)


class FakeSlurm:
    """One node, its jobs and what was asked."""

    def __init__(self, *jobs: Job) -> None:
        self.there = list(jobs)
        self.this = Node(False, "")
        self.asked: list[str] = []
        self.faults: set[str] = set()
        # What becomes of jobs that are put back, look by look.
        self.states = ["COMPLETING", "PENDING"]

    def _ask(self, words: str) -> None:
        if words.split()[0] in self.faults or words in self.faults:
            raise SlurmError(f"{words} failed: no answer")
        self.asked.append(words)

    def node(self) -> Node:
        return self.this

    def drain(self, reason: str) -> None:
        self._ask(f"drain {reason}")
        self.this = Node(True, reason)

    def jobs(self) -> list[Job]:
        return list(self.there)

    def requeue(self, job: str) -> None:
        self._ask(f"requeue {job}")
        self.there = [one for one in self.there if one.id != job]

    def state(self, job: str) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def start_now(self, job: str) -> None:
        self._ask(f"start {job}")

    def warn(self, job: str) -> None:
        self._ask(f"warn {job}")


class Bench:
    def __init__(self, *jobs: Job) -> None:
        self.now = AT - 120
        self.service, self.slurm = FakeService(), FakeSlurm(*jobs)
        self.daemon = Daemon(self.service, self.slurm, 60, lambda: self.now)

    def turns(self, number: int, seconds: float = 5) -> list[str]:
        for _ in range(number):
            self.daemon.turn()
            self.now += seconds
        return self.slurm.asked


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="spot-notice")
    return caplog


def test_without_a_notice_nothing_is_asked_or_said(said: pytest.LogCaptureFixture) -> None:
    assert Bench(Job("1", True)).turns(5) == []
    assert said.messages == []


def test_a_notice_drains_first_and_then_moves_jobs(said: pytest.LogCaptureFixture) -> None:
    bench = Bench(Job("1", True), Job("2", True, alone=False))
    bench.service.documents[ACTION] = NOTICE

    # The second job has nodes that go on refusing it for a while.
    assert bench.turns(4) == [f"drain {REASON}", "requeue 1", "requeue 2", "start 1"]
    assert said.messages == [
        "EC2 gives notice: terminate at 12:34:56 UTC",
        f"drained this node: {REASON}",
        "job 1 goes back into the queue",
        "job 2 goes back into the queue",
        "job 1 may start elsewhere at once",
    ]


def test_a_job_that_stays_is_warned_once_before_the_end(said: pytest.LogCaptureFixture) -> None:
    bench = Bench(Job("7", False))
    bench.service.documents[ACTION] = NOTICE

    # 120 s to 65 s before the end.
    assert bench.turns(12) == [f"drain {REASON}"]
    assert bench.turns(12) == [f"drain {REASON}", "warn 7"]
    assert said.messages[2:] == [
        "not put back into the queue, told to end at 12:33:56 UTC: job 7",
        "job 7 is told to end (SIGTERM)",
    ]


def test_no_job_is_put_back_before_the_node_is_drained(said: pytest.LogCaptureFixture) -> None:
    """It would start here again."""
    bench = Bench(Job("1", True))
    bench.service.documents[ACTION] = NOTICE
    bench.slurm.faults = {"drain"}

    assert bench.turns(3) == []
    assert said.messages[1:] == [f"drain {REASON} failed: no answer; tried again"]
    bench.slurm.faults = set()
    assert bench.turns(1) == [f"drain {REASON}", "requeue 1"]


def test_one_that_cannot_be_put_back_does_not_keep_the_others() -> None:
    bench = Bench(Job("1", True), Job("2", True))
    bench.service.documents[ACTION] = NOTICE
    bench.slurm.faults = {"requeue 1"}

    assert bench.turns(1) == [f"drain {REASON}", "requeue 2"]


def test_a_job_that_came_meanwhile_is_moved_too() -> None:
    bench = Bench()
    bench.service.documents[ACTION] = NOTICE
    bench.turns(1)
    bench.slurm.there.append(Job("9", True))

    assert bench.turns(1) == [f"drain {REASON}", "requeue 9"]


def test_a_person_who_drained_it_is_not_overruled() -> None:
    bench = Bench(Job("1", True))
    bench.slurm.this = Node(True, "disk is swapped")
    bench.service.documents[ACTION] = NOTICE

    assert bench.turns(1) == ["requeue 1"]


def test_a_service_that_is_away_is_said_once_an_outage(said: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for fault in ("refused", "timed out", "", "", "refused", ""):
        bench.service.fault = fault
        bench.turns(1)

    assert (
        said.messages
        == [
            "refused. No notice would be seen; tried again all the time",
            "the metadata service answers again",
        ]
        * 2
    )


def test_a_notice_that_was_seen_is_gone_on_with_when_the_service_is_away() -> None:
    bench = Bench(Job("7", False))
    bench.service.documents[ACTION] = NOTICE
    bench.turns(1)
    bench.service.fault = "refused"

    assert bench.turns(20) == [f"drain {REASON}", "warn 7"]


def test_a_notice_that_is_taken_back_leaves_the_drain(said: pytest.LogCaptureFixture) -> None:
    bench = Bench(Job("7", False))
    bench.service.documents[ACTION] = NOTICE
    bench.turns(1)
    del bench.service.documents[ACTION]

    assert bench.turns(30) == [f"drain {REASON}"]
    assert said.messages[-1] == "EC2 took its notice back. The node stays drained until an admin resumes it"


def test_a_notice_that_cannot_be_read_changes_nothing(said: pytest.LogCaptureFixture) -> None:
    bench = Bench(Job("1", True))
    bench.service.documents[ACTION] = "{}"

    assert bench.turns(3) == []
    assert said.messages == ["the notice is none (KeyError('action')): '{}'"]


def test_advice_is_logged_once(said: pytest.LogCaptureFixture) -> None:
    bench = Bench(Job("1", True))
    bench.service.documents[REBALANCE] = '{"noticeTime": "2026-11-21T12:00:00Z"}'

    assert bench.turns(3) == []
    assert said.messages == ['EC2 expects to take this instance back: {"noticeTime": "2026-11-21T12:00:00Z"}']


@pytest.mark.parametrize("state", ["RUNNING", "CANCELLED", ""])
def test_a_job_that_went_its_way_is_left_alone(state: str) -> None:
    bench = Bench(Job("1", True))
    bench.service.documents[ACTION] = NOTICE
    bench.slurm.states = ["COMPLETING", state]

    assert bench.turns(5) == [f"drain {REASON}", "requeue 1"]
    assert not bench.daemon.busy


def test_it_looks_more_often_while_a_job_moves() -> None:
    bench, slept = Bench(Job("1", True)), []
    bench.service.documents[ACTION] = NOTICE

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(bench.daemon, 5, sleep)
    assert slept == [1, 5, 5]


def test_it_looks_at_its_interval() -> None:
    bench, slept = Bench(), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(bench.daemon, 5, sleep)
    assert slept == [5, 5, 5]


# --- The metadata service --------------------------------------------------------------------------------------------


@pytest.fixture
def imds(tmp_path: Path) -> Iterator[FakeImds]:
    with FakeImds(tmp_path) as service:
        yield service


def test_a_document_is_read_with_a_token(imds: FakeImds, monkeypatch: pytest.MonkeyPatch) -> None:
    (imds.folder / "spot").mkdir()
    (imds.folder / "spot/instance-action").write_text(NOTICE)
    # It must not be asked through a proxy.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    service = Metadata(imds.url)

    assert service.get(ACTION) == NOTICE
    assert service.get(REBALANCE) is None


def test_a_token_that_is_over_is_renewed(imds: FakeImds) -> None:
    service = Metadata(imds.url)
    service._token = "an old one"

    assert service.get(ACTION) is None
    assert len(imds.asked) == 2


def test_no_service_is_said_in_words() -> None:
    with pytest.raises(MetadataError, match="^http://127.0.0.1:9 does not answer: "):
        Metadata("http://127.0.0.1:9").get(ACTION)
