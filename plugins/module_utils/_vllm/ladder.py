# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Climb from the job to a real completion, again and again, until it holds or time is over."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._vllm import classify
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Level, Task, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Client, Fault
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Backoff, Seen, Waiter, WaitTimeoutError

FIRST_PAUSE = 0.25
# Between looks at an engine that may be ready any moment, so that "ready" is seen within a second of its being so.
NEAR_PAUSE = 0.5
# Slurm's controller is asked no oftener than this, however often the engine is.
JOB_PAUSE = 2.0
# A server's models are set when it starts; a gateway's list lags a moment behind the engines.
WRONG_MODEL_SECONDS = 15.0
HEALTH_TIMEOUT = 5.0

ADVICE: dict[str, str] = {
    "pending": "See `squeue --start` for when it may run, or raise timeout",
    "starting": "See the job's log for how far the engine is, or raise timeout",
    "loading": "See the engine's log for how far it is, or raise timeout",
    "hung": "Look at the engine's log and restart it; if it is only slow, raise request_timeout",
    "auth_error": "Give the api_key that the server was started with",
    "wrong_model": "Check model, and that no other service holds this port",
    "job_failed": "Correct the cause and submit the job again",
    "unreachable": "Check that the engine runs there and that host, port and firewall are right",
}


@dataclass(frozen=True)
class Target:
    """What is to be checked, how far, and with how much patience for one request."""

    name: str
    model: str | None
    level: Level = "completion"
    task: Task = "generate"
    request_timeout: float = 30.0


@dataclass(frozen=True)
class Found:
    """The end of a check."""

    verdict: Verdict
    waited: float
    version: str | None = None

    @property
    def facts(self) -> dict[str, t.Any]:
        facts = asdict(self.verdict)
        facts["served_models"] = list(self.verdict.served_models)
        return facts | {
            "ready": self.verdict.state == "ready",
            "waited": round(self.waited, 3),
            "version": self.version,
        }


class Ladder:
    """One climb is `look`. It stops at the first rung that does not hold."""

    def __init__(
        self,
        client: Client,
        target: Target,
        job: Callable[[], JobSeen] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._target = target
        self._ask_job = job
        self._clock = clock
        self._job = JobSeen("unknown")
        self._job_asked: float | None = None

    def look(self, budget: float) -> Verdict:
        """`budget`: the seconds that are left for requests; the first rung always gets a chance."""
        ends = self._clock() + budget
        job = self._look_at_job()
        if verdict := classify.of_job(job):
            return verdict
        verdict = self._climb(ends, job_runs=job.phase == "running")
        if verdict.state in ("starting", "unreachable", "hung") and self._ask_job is not None:
            # Trouble may mean that the job has just ended: then say that, at once.
            return classify.of_job(self._look_at_job()) or verdict
        return verdict

    def version(self) -> str | None:
        reply = self._client.get("/version", HEALTH_TIMEOUT)
        value = None if isinstance(reply, Fault) or reply.status != 200 else reply.json()
        version = value.get("version") if isinstance(value, dict) else None
        return version if isinstance(version, str) else None

    def _look_at_job(self) -> JobSeen:
        now = self._clock()
        if self._ask_job is not None and (self._job_asked is None or now - self._job_asked >= JOB_PAUSE):
            self._job_asked = now
            self._job = self._ask_job()
        return self._job

    def _climb(self, ends: float, *, job_runs: bool) -> Verdict:
        level = self._target.level
        if level == "tcp":
            fault = self._client.connect(self._time(ends, HEALTH_TIMEOUT))
            if fault:
                return classify.of_fault(fault, "tcp", job_runs=job_runs)
            return Verdict("ready", "tcp", "the port is open")
        health = self._client.get("/health", self._time(ends, HEALTH_TIMEOUT))
        if isinstance(health, Fault):
            return classify.of_fault(health, "http", job_runs=job_runs)
        if verdict := classify.of_health(health, level):
            return verdict
        if level == "http":
            return Verdict("ready", "http", "/health answers 200")
        return self._climb_to_model(ends, job_runs=job_runs)

    def _climb_to_model(self, ends: float, *, job_runs: bool) -> Verdict:
        reply = self._client.get("/v1/models", self._time(ends, HEALTH_TIMEOUT))
        if isinstance(reply, Fault):
            return classify.of_fault(reply, "model", job_runs=job_runs)
        models = classify.of_models(reply, self._target.model)
        if isinstance(models, Verdict):
            return models
        model = self._target.model or models.names[0]
        facts: dict[str, t.Any] = {"served_models": models.names, "max_model_len": models.lengths[model]}
        if self._target.level == "model":
            return Verdict("ready", "model", f"{model} is served", **facts)
        return self._climb_to_completion(ends, model, facts, job_runs=job_runs)

    def _climb_to_completion(self, ends: float, model: str, facts: dict[str, t.Any], *, job_runs: bool) -> Verdict:
        path, body = smallest_request(self._target.task, model)
        reply = self._client.post(path, body, self._time(ends, self._target.request_timeout))
        if isinstance(reply, Fault):
            return classify.of_fault(reply, "completion", job_runs=job_runs)
        if verdict := classify.of_completion(reply, self._target.task):
            return verdict
        return Verdict("ready", "completion", f"{model} answers", completion_seconds=round(reply.seconds, 3), **facts)

    def _time(self, ends: float, most: float) -> float:
        return max(min(most, self._target.request_timeout, ends - self._clock()), 0.05)


def smallest_request(task: Task, model: str) -> tuple[str, dict[str, t.Any]]:
    if task == "embed":
        return "/v1/embeddings", {"model": model, "input": "Hello"}
    return "/v1/completions", {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}


def wait_ready(
    ladder: Ladder,
    target: Target,
    *,
    timeout: float,
    interval: float,
    passes: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Found:
    """Look until ready `passes` times in a row. Raises HealthError with the last state when that does not come."""
    started = clock()
    watch = _Watch(ladder, target, passes=passes, ends=started + timeout, clock=clock)
    backoff = Backoff(first=min(FIRST_PAUSE, interval), most=interval)
    try:
        verdict = Waiter(watch.look, timeout=timeout, backoff=backoff, clock=clock, sleep=sleep).wait().value
    except WaitTimeoutError as error:
        raise failure(target, error.last, clock() - started) from error
    found = Found(verdict, clock() - started, ladder.version() if verdict.state == "ready" else None)
    if verdict.state != "ready":
        raise failure(target, verdict, found.waited)
    return found


class _Watch:
    """The predicate: counts passes, and knows which states will not mend themselves."""

    def __init__(self, ladder: Ladder, target: Target, *, passes: int, ends: float, clock: Callable[[], float]) -> None:
        self._ladder = ladder
        self._passes = passes
        self._ends = ends
        self._clock = clock
        self._passed = 0
        self._wrong_since: float | None = None
        self._patience = target.request_timeout

    def look(self) -> Seen[Verdict]:
        # A look at the very end still needs some time to find anything at all.
        verdict = self._ladder.look(max(self._ends - self._clock(), min(1.0, self._patience)))
        self._passed = self._passed + 1 if verdict.state == "ready" else 0
        if self._passed >= self._passes or self._is_final(verdict):
            return Seen(done=True, value=verdict)
        return Seen(done=False, value=verdict, look_within=None if verdict.state == "pending" else NEAR_PAUSE)

    def _is_final(self, verdict: Verdict) -> bool:
        if verdict.state != "wrong_model":
            self._wrong_since = None
            return verdict.state in ("auth_error", "job_failed")
        if self._wrong_since is None:
            self._wrong_since = self._clock()
        return self._clock() - self._wrong_since >= WRONG_MODEL_SECONDS


def failure(target: Target, verdict: Verdict, waited: float) -> HealthError:
    what = f"{target.model} at {target.name}" if target.model else target.name
    if verdict.state == "ready":
        cause = "it was ready, but not as often in a row as passes asks"
        advice = "Look at the engine's log for why it comes and goes"
    else:
        cause, advice = verdict.detail, ADVICE[verdict.state]
    message = (
        f"Waiting for {what} failed: after {waited:.0f} seconds it is {verdict.state} at stage {verdict.stage}: "
        f"{cause.rstrip('.')}. {advice}.{verdict.log}"
    )
    return HealthError(message=message, facts=Found(verdict, waited).facts | {"ready": False})
