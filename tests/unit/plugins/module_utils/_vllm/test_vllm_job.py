# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm import job
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.job import InBackground


class Slurm:
    """Answers at once, or, while it is frozen, when it thaws."""

    def __init__(self) -> None:
        self.thawed = threading.Event()
        self.thawed.set()
        self.asked = 0

    def __call__(self) -> JobSeen:
        self.asked += 1
        self.thawed.wait(10)
        return JobSeen("running", f"answer {self.asked}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "FIRST_ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(job, "ANSWER_SECONDS", 1.0)


def test_answers_are_handed_on() -> None:
    ask = InBackground(Slurm())
    assert [ask().detail, ask().detail] == ["answer 1", "answer 2"]


def test_a_frozen_controller_is_not_waited_for() -> None:
    slurm = Slurm()
    slurm.thawed.clear()
    ask = InBackground(slurm)
    assert ask() == JobSeen("unknown", "Slurm gives no answer; look at the controller with `scontrol ping`")
    assert ask().phase == "unknown"
    assert slurm.asked == 1, "one question at a time"
    slurm.thawed.set()
    answers = [ask() for _turn in range(3)]
    assert answers[-1].phase == "running"


def test_an_old_answer_stands_in_for_a_while() -> None:
    now = [0.0]
    slurm = Slurm()
    ask = InBackground(slurm, clock=lambda: now[0])
    assert ask().detail == "answer 1"
    slurm.thawed.clear()
    assert ask().detail == "answer 1"
    now[0] = job.STALE_SECONDS + 1
    assert ask().phase == "unknown"
    slurm.thawed.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_question_that_fails_is_no_answer() -> None:
    def broken() -> JobSeen:
        raise RuntimeError("a fault of ours")

    assert InBackground(broken)() == JobSeen("unknown", "Asking Slurm failed")
