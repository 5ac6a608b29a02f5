# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ladder over a scripted client and a clock that moves only when told."""

from __future__ import annotations

import json
import random
import typing as t
from collections.abc import Callable

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault, Reply
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import fixed
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.watch import Found, wait_ready

REFUSED = Fault("refused", "connection refused")
SLOW = Fault("timeout", "no answer within 30 seconds")
URL = "http://gpu1:8000"
TARGET = Target(model="phi3")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.advance_with_each_request = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def ok(value: t.Any = "") -> Reply:
    return Reply(200, json.dumps(value).encode(), seconds=0.05)


class ScriptedClient:
    """Answers by `phase`, which may depend on the clock: refused, unwell, loading, hung, other, locked or ready."""

    def __init__(self, clock: Clock, phase: Callable[[float], str]) -> None:
        self._clock = clock
        self._phase = phase
        self.paths: list[str] = []
        self.timeouts: list[float] = []
        # None: there is no page of counters.
        self.tokens_a_second: float | None = None

    def connect(self, timeout: float) -> Fault | None:
        return REFUSED if self._now() == "refused" else None

    def get(self, path: str, timeout: float) -> Reply | Fault:
        self._note(path, timeout)
        phase = self._now()
        if phase == "refused":
            return REFUSED
        if path == "/metrics":
            return Reply(404, b"") if self.tokens_a_second is None else Reply(200, self._page())
        if path == "/health":
            return Reply(503, b"") if phase == "unwell" else ok()
        if path == "/version":
            return ok({"version": "0.32.0"})
        if phase == "locked":
            return Reply(401, b"")
        return ok({"data": [{"id": "other" if phase == "other" else "phi3", "max_model_len": 256}]})

    def post(self, path: str, body: dict[str, t.Any], timeout: float) -> Reply | Fault:
        self._note(path, timeout)
        phase = self._now()
        if phase == "hung":
            self._clock.now += timeout
            return SLOW
        if phase == "queued" and timeout < 100:
            self._clock.now += timeout
            return SLOW
        if phase == "loading":
            return Reply(503, b"")
        return ok({"usage": {"completion_tokens": 1}, "choices": [{"text": "x"}], "data": [{"embedding": [1.0]}]})

    def _page(self) -> bytes:
        tokens = (self.tokens_a_second or 0.0) * self._clock.now
        return (
            f"vllm:generation_tokens_total {tokens}\nvllm:num_requests_running 32\nvllm:num_requests_waiting 5\n"
        ).encode()

    def _now(self) -> str:
        return self._phase(self._clock.now - 100.0)

    def _note(self, path: str, timeout: float) -> None:
        self.paths.append(path)
        self.timeouts.append(timeout)
        self._clock.now += self._clock.advance_with_each_request


class Setup(t.NamedTuple):
    clock: Clock
    client: ScriptedClient
    wait: Callable[..., Found]


def setup(
    phase: Callable[[float], str] | str, job: Callable[[float], JobSeen] | None = None, target: Target = TARGET
) -> Setup:
    clock = Clock()
    client = ScriptedClient(clock, phase if callable(phase) else lambda _now: phase)
    ladder = Ladder(fixed(URL, client), target, (lambda: job(clock.now - 100.0)) if job else None, clock)

    def wait(timeout: float = 600.0, interval: float = 2.0, passes: int = 1) -> Found:
        return wait_ready(
            ladder, target, name=URL, timeout=timeout, interval=interval, passes=passes, clock=clock, sleep=clock.sleep
        )

    return Setup(clock, client, wait)


def test_ready_at_once() -> None:
    clock, client, wait = setup("ready")
    found = wait()
    assert found.facts == {
        "ready": True,
        "state": "ready",
        "stage": "completion",
        "detail": "phi3 answers",
        "busy": False,
        "url": "http://gpu1:8000",
        "restarts": 0,
        "waited": 0.0,
        "served_models": ["phi3"],
        "max_model_len": 256,
        "version": "0.32.0",
        "completion_seconds": 0.05,
        "log": "",
    }
    assert client.paths == ["/health", "/v1/models", "/metrics", "/v1/completions", "/version"]


@pytest.mark.parametrize(
    ("level", "paths"),
    [
        ("tcp", ["/version"]),
        ("http", ["/health", "/version"]),
        ("model", ["/health", "/v1/models", "/version"]),
    ],
)
def test_lower_levels_ask_no_more_than_they_say(level: t.Any, paths: list[str]) -> None:
    target = Target(model="phi3", level=level)
    _clock, client, wait = setup("hung", target=target)
    assert wait().facts["stage"] == level
    assert client.paths == paths


@pytest.mark.parametrize("when", [0.1, 3.3, 7.7, 21.9, 60.2, 299.9])
@pytest.mark.parametrize("before", ["refused", "unwell", "loading"])
def test_ready_is_seen_within_a_second_and_never_before(when: float, before: str) -> None:
    _clock, _client, wait = setup(lambda now: "ready" if now >= when else before)
    waited = wait().facts["waited"]
    assert when <= waited <= when + 1.0


def test_ready_is_seen_within_a_second_in_95_of_100_waits() -> None:
    """The moment that the engine is ready falls anywhere, and each request takes up to 0.1 seconds."""
    chance = random.Random(20261121)
    delays = []
    for _turn in range(200):
        when, before = chance.uniform(0, 300), chance.choice(["refused", "unwell", "loading"])
        clock, _client, wait = setup(lambda now, when=when, before=before: "ready" if now >= when else before)  # type: ignore[misc]
        clock.advance_with_each_request = chance.uniform(0.001, 0.1)
        delays.append(wait().facts["waited"] - when)
    delays.sort()
    assert delays[0] >= 0
    assert delays[189] <= 1.0
    assert delays[-1] <= 1.5


def test_embedding_model_is_asked_for_a_vector() -> None:
    _clock, client, wait = setup("ready", target=Target(model="phi3", task="embed"))
    assert wait().facts["ready"]
    assert "/v1/embeddings" in client.paths


def test_passes_must_follow_each_other() -> None:
    # Ready from 0 to 0.3 and from 5 on: the first pass does not count towards the second run.
    _clock, client, wait = setup(lambda now: "ready" if now < 0.3 or now >= 5 else "loading")
    assert wait(passes=3).facts["waited"] >= 5.5
    _clock, client, wait = setup("ready")
    wait(passes=3)
    assert client.paths.count("/v1/completions") == 3


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        pytest.param(
            "refused",
            "after 10 seconds it is unreachable at stage tcp: connection refused. "
            "Check that the engine runs there and that host, port and firewall are right.",
            id="unreachable",
        ),
        pytest.param(
            "unwell",
            "after 10 seconds it is loading at stage http: /health answers 503. "
            "See the engine's log for how far it is, or raise timeout.",
            id="loading",
        ),
        pytest.param(
            "hung",
            "after 10 seconds it is hung at stage completion: no answer within 30 seconds. "
            "Look at the engine's log and restart it; if it is only slow, raise request_timeout.",
            id="hung",
        ),
        pytest.param(
            "locked",
            "after 0 seconds it is auth_error at stage model: /v1/models answers 401. "
            "Give the api_key that the server was started with.",
            id="auth-at-once",
        ),
    ],
)
def test_time_runs_out_with_the_last_state(phase: str, message: str) -> None:
    _clock, _client, wait = setup(phase)
    with pytest.raises(HealthError) as caught:
        wait(timeout=10)
    assert caught.value.message == f"Waiting for phi3 at http://gpu1:8000 failed: {message}"
    assert caught.value.facts["ready"] is False


def test_health_200_alone_is_never_ready() -> None:
    _clock, client, wait = setup("hung")
    with pytest.raises(HealthError) as caught:
        wait(timeout=300)
    assert caught.value.facts["state"] == "hung"
    assert client.paths.count("/health") >= 8


def test_wrong_model_is_final_only_when_it_stays() -> None:
    clock, _client, wait = setup("other")
    with pytest.raises(HealthError) as caught:
        wait()
    assert 15 <= clock.now - 100 <= 16
    assert "it is wrong_model at stage model: phi3 is not served here, but other." in caught.value.message
    assert caught.value.facts["served_models"] == ["other"]
    _clock, _client, wait = setup(lambda now: "other" if now < 14 else "ready")
    assert wait().facts["ready"]


def test_one_look_gives_a_request_its_whole_time() -> None:
    clock, _client, wait = setup("hung")
    with pytest.raises(HealthError) as caught:
        wait(timeout=0)
    assert clock.now - 100 == 30
    assert caught.value.facts["state"] == "hung"


@pytest.mark.parametrize("timeout", [1.0, 5.0, 33.0])
def test_total_time_is_kept_however_slow_the_engine(timeout: float) -> None:
    clock, _client, wait = setup("hung")
    with pytest.raises(HealthError):
        wait(timeout=timeout)
    assert clock.now - 100 <= timeout + 2


def test_timeout_0_looks_once() -> None:
    _clock, client, wait = setup("refused")
    with pytest.raises(HealthError):
        wait(timeout=0)
    assert client.paths == ["/health"]


def running_then_ended(when: float) -> Callable[[float], JobSeen]:
    def job(now: float) -> JobSeen:
        if now < when:
            return JobSeen("running", "job 7 is RUNNING")
        return JobSeen("ended", "job 7 ended as FAILED (exit code 2)", log="\nThe last lines of x:\nboom")

    return job


def test_pending_job_is_not_probed() -> None:
    _clock, client, wait = setup("ready", lambda now: JobSeen("pending" if now < 60 else "running", "job 7 is PENDING"))
    assert 60 <= wait().facts["waited"] <= 62
    assert len(client.paths) == 5


def test_running_job_with_a_closed_port_is_starting() -> None:
    _clock, _client, wait = setup("refused", lambda _now: JobSeen("running"))
    with pytest.raises(HealthError) as caught:
        wait(timeout=5)
    assert caught.value.facts["state"] == "starting"


def test_ended_job_fails_at_once_with_the_end_of_its_log() -> None:
    clock, _client, wait = setup("refused", running_then_ended(30))
    with pytest.raises(HealthError) as caught:
        wait()
    assert clock.now - 100 <= 33
    assert caught.value.message.endswith(
        "it is job_failed at stage job: job 7 ended as FAILED (exit code 2). "
        "Correct the cause and submit the job again.\nThe last lines of x:\nboom"
    )


def test_slurm_that_does_not_answer_is_no_bad_news() -> None:
    _clock, _client, wait = setup(lambda now: "ready" if now > 5 else "refused", lambda _now: JobSeen("unknown"))
    assert wait().facts["ready"]


def test_slurm_is_asked_at_most_every_other_second() -> None:
    asked: list[float] = []

    def job(now: float) -> JobSeen:
        asked.append(now)
        return JobSeen("running")

    _clock, _client, wait = setup(lambda now: "ready" if now > 100 else "refused", job)
    wait()
    assert len(asked) <= 52


def runs(*runs: tuple[float, str, int | None]) -> Callable[[float], JobSeen]:
    """A job by time: from when on it is in which phase, and when Slurm says that it started."""

    def job(now: float) -> JobSeen:
        phase, started = next((phase, started) for since, phase, started in reversed(runs) if now >= since)
        return JobSeen(t.cast(t.Any, phase), f"job 7 is {phase}", host="gpu1", started=started)

    return job


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(runs((0, "running", 1), (50, "pending", None), (55, "running", 2)), id="seen-in-the-queue"),
        pytest.param(runs((0, "running", 1), (55, "running", 2)), id="between-two-looks"),
    ],
)
def test_a_requeue_begins_the_clock_of_loading_anew(job: Callable[[float], JobSeen]) -> None:
    _clock, _client, wait = setup(lambda now: "ready" if now >= 110 else "refused", job)
    facts = wait(timeout=60).facts
    assert 110 <= facts["waited"] <= 111
    assert facts["restarts"] == 1


def test_a_job_that_is_requeued_for_ever_is_not_waited_for_as_long() -> None:
    clock, _client, wait = setup("refused", lambda now: JobSeen("running", "job 7", "", "gpu1", int(now // 30)))
    with pytest.raises(HealthError) as caught:
        wait(timeout=60)
    assert clock.now - 100 <= 5 * 30 + 60 + 2
    assert "(its job was requeued 7 times meanwhile)" in caught.value.message


def test_ready_is_not_said_of_a_job_that_has_just_ended() -> None:
    clock, _client, wait = setup("ready", lambda now: JobSeen("running" if now < 0.1 else "ended", "job 7"))
    clock.advance_with_each_request = 0.1
    with pytest.raises(HealthError) as caught:
        wait()
    assert caught.value.facts["state"] == "job_failed"


def test_a_pass_of_the_run_before_does_not_count() -> None:
    _clock, client, wait = setup("ready", runs((0, "running", 1), (3, "running", 2)))
    wait(passes=12)
    assert client.paths.count("/v1/completions") > 12


def test_slurm_that_speaks_up_late_is_no_requeue() -> None:
    asked: list[float] = []

    def job(now: float) -> JobSeen:
        asked.append(now)
        return JobSeen("unknown" if len(asked) == 1 else "running", started=5)

    _clock, _client, wait = setup("ready", job)
    assert (wait().facts["waited"], wait().facts["restarts"]) == (0.0, 0)


def test_a_job_that_can_never_start_fails_at_once() -> None:
    clock, _client, wait = setup("refused", lambda _now: JobSeen("pending", "job 7 is PENDING", hopeless=True))
    with pytest.raises(HealthError) as caught:
        wait()
    assert clock.now == 100
    assert caught.value.message.endswith(
        "it is pending at stage job: job 7 is PENDING. Change its options to what the cluster has, and submit it again."
    )


class TestBusyOrHung:
    """The completion does not come in time: the engine's counters tell why."""

    def test_an_engine_that_works_is_not_dead(self) -> None:
        _clock, client, wait = setup("hung")
        client.tokens_a_second = 5.0
        with pytest.raises(HealthError) as caught:
            wait(timeout=0)
        assert caught.value.facts["busy"] is True
        assert caught.value.message == (
            "Waiting for phi3 at http://gpu1:8000 failed: after 30 seconds it is loading at stage completion: "
            "no answer within 30 seconds, but it works: 32 requests running, 5 waiting. "
            "It is full: raise timeout or request_timeout, or give it more replicas."
        )

    def test_one_whose_counters_stand_still_is(self) -> None:
        _clock, client, wait = setup("hung")
        client.tokens_a_second = 0.0
        with pytest.raises(HealthError) as caught:
            wait(timeout=0)
        assert (caught.value.facts["state"], caught.value.facts["busy"]) == ("hung", False)

    def test_a_busy_one_gets_more_time_for_its_answer(self) -> None:
        _clock, client, wait = setup("queued")
        client.tokens_a_second = 5.0
        assert wait().facts["ready"]
        assert [limit for path, limit in zip(client.paths, client.timeouts, strict=True) if "compl" in path] == [
            30,
            60,
            120,
        ]

    def test_a_look_cut_short_by_our_deadline_proves_nothing(self) -> None:
        _clock, _client, wait = setup(lambda now: "loading" if now < 29.0 else "hung")
        with pytest.raises(HealthError) as caught:
            wait(timeout=30)
        assert caught.value.facts["state"] == "loading"
        assert caught.value.facts["detail"] == "/v1/completions answers 503"
