# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the queue to the first answer: what whoever waits is told, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FAILED, KEY, NOT_READY, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._manager.follow import (
    Follow,
    TellingLadder,
    exit_of,
    waiting_words,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import Progress
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import fixed
from ansible_collections.llmops.cluster.tests.unit import fake_engine
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.fake_slurm import FakeSlurm, Life

NAME = "vllm-serve-phi3"
TARGET = Target(None, "completion", "generate", 2.0)
WAITS: Life = [
    (0, {"state": ["PENDING"], "reason": "Resources"}),
    (5, {"state": ["RUNNING", "CONFIGURING"], "nodes": "gpu1"}),
    (9, {"state": ["RUNNING"], "nodes": "gpu1", "batch_host": "gpu1"}),
]


def following(slurm: FakeSlurm, told: list[str]) -> Follow:
    client = slurm.client()
    return Follow(
        client,
        "phi3",
        lambda words, _milestone: told.append(words),
        clock=lambda: slurm.clock,
        sleep=slurm.sleep,
        now=lambda: slurm.clock,
    )


def test_the_queue_is_told_until_the_job_runs() -> None:
    slurm = FakeSlurm(life=WAITS)
    slurm.add(NAME, "", life=WAITS)
    told: list[str] = []
    job = following(slurm, told).until_started(Job(1, NAME, "vllm", "PENDING"), None)
    assert (job.state, list(dict.fromkeys(told))) == (
        "RUNNING",
        ["phi3: queued (Resources)", "phi3: starting: its node gpu1 gets ready"],
    )


def test_a_queue_that_lasts_too_long() -> None:
    slurm = FakeSlurm()
    slurm.add(NAME, "", life=WAITS[:1])
    with pytest.raises(ManagerError) as caught:
        following(slurm, []).until_started(Job(1, NAME, "vllm", "PENDING"), 60.0)
    assert caught.value.exit is NOT_READY
    assert caught.value.message == (
        "Waiting for phi3 failed: after 1m job 1 is queued (Resources). It stays in the queue: `vllm-manager status`."
    )


def test_a_job_that_slurm_forgot_is_not_waited_for() -> None:
    slurm = FakeSlurm()
    job = Job(1, NAME, "vllm", "PENDING")
    assert following(slurm, []).until_started(job, None) is job


def test_the_expected_start_is_told() -> None:
    job = Job(1, NAME, "vllm", "PENDING", reason="Priority", start_time=1190)
    assert waiting_words(job, 1000.0) == "queued (Priority), expected to start in 3m 10s"


@pytest.fixture
def engine() -> Iterator[fake_engine.FakeEngine]:
    with fake_engine.fake_engine() as found:
        yield found


def ladder(url: str, job: JobSeen, told: list[str], log: str = "") -> TellingLadder:
    def tell(progress: Progress, verdict: Verdict) -> None:
        told.append(f"{verdict.state}: {progress.words()}")

    return TellingLadder(fixed(url, HttpClient(url)), TARGET, lambda: job, logs=lambda: [log], tell=tell)


def test_ready_is_ready(engine: fake_engine.FakeEngine) -> None:
    told: list[str] = []
    running = JobSeen("running", host="gpu1")
    found = following(FakeSlurm(), told).until_ready(ladder(engine.url, running, told), TARGET, 1, 10.0)
    assert (found.verdict.state, told) == ("ready", [])


def test_while_the_port_is_closed_the_log_tells(engine: fake_engine.FakeEngine) -> None:
    told: list[str] = []
    log = "Loading safetensors checkpoint shards:  50% Completed | 1/2"
    engine.answers["/health"] = (503, "")
    slurm = FakeSlurm()
    with pytest.raises(ManagerError) as caught:
        following(slurm, told).until_ready(ladder(engine.url, JobSeen("running"), told, log), TARGET, 1, 5.0)
    assert set(told) == {"loading: loading weights 50%"}
    assert caught.value.exit is NOT_READY
    assert caught.value.message.endswith(
        "it is loading at stage http: /health answers 503. See the engine's log for how far it is, or give it more "
        "time (--timeout)."
    )


def test_a_job_that_ends_is_not_waited_for(engine: fake_engine.FakeEngine) -> None:
    ended = JobSeen("ended", "job 1 ended as FAILED (exit code 2)", log="\nThe last lines of x:\nboom")
    with pytest.raises(ManagerError) as caught:
        following(FakeSlurm(), []).until_ready(ladder(engine.url, ended, []), TARGET, 1, 10.0)
    assert caught.value.exit is FAILED
    assert caught.value.message == "Serving phi3 failed: job 1 ended as FAILED (exit code 2)."
    assert caught.value.facts["log"].endswith("boom")


@pytest.mark.parametrize(
    ("state", "exit_"), [("auth_error", KEY), ("pending", NOT_READY), ("hung", FAILED), ("job_failed", FAILED)]
)
def test_exits(state: str, exit_: object) -> None:
    assert exit_of({"state": state}) is exit_
