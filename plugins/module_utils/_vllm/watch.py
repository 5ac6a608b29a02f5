# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look again and again, until the engine is ready or waiting cannot help; and say in words what came of it."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, replace

from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Backoff, Seen, Waiter

FIRST_PAUSE = 0.25
# Between looks at an engine that may be ready any moment, so that "ready" is seen within a second of its being so.
NEAR_PAUSE = 0.5
# A server's models are set when it starts; a gateway's list lags a moment behind the engines.
WRONG_MODEL_SECONDS = 15.0
# A job that is requeued for ever must not be waited for as long.
MOST_RESTARTS = 5
# A busy engine serves its requests in turn, so a longer wait reaches its end; so many times request_timeout at most.
MOST_PATIENCE = 8

ADVICE: dict[str, str] = {
    "pending": "See `squeue --start` for when it may run, or raise timeout",
    "starting": "See the job's log for how far the engine is, or raise timeout",
    "loading": "See the engine's log for how far it is, or raise timeout",
    "hung": "Look at the engine's log and restart it; if it is only slow, raise request_timeout",
    "auth_error": "Give the api_key that the server was started with",
    "wrong_model": "Check model and task, and that no other service holds this port",
    "job_failed": "Correct the cause and submit the job again",
    "unreachable": "Check that the engine runs there and that host, port and firewall are right",
}
NEVER_STARTS = "Change its options to what the cluster has, and submit it again"
BUSY = "It is full: raise timeout or request_timeout, or give it more replicas"
NOWHERE = "Look at the job with `scontrol show job` and at the controller with `scontrol ping`, or set url"


@dataclass(frozen=True)
class Found:
    """The end of a check."""

    verdict: Verdict
    waited: float
    url: str | None = None
    version: str | None = None
    restarts: int = 0

    @property
    def facts(self) -> dict[str, t.Any]:
        verdict = self.verdict
        return {
            "ready": verdict.state == "ready",
            "state": verdict.state,
            "stage": verdict.stage,
            "detail": verdict.detail,
            "busy": verdict.busy,
            "url": self.url,
            "waited": round(self.waited, 3),
            "restarts": self.restarts,
            "served_models": list(verdict.served_models),
            "max_model_len": verdict.max_model_len,
            "version": self.version,
            "completion_seconds": verdict.completion_seconds,
            "log": verdict.log,
        }


def look_once(ladder: Ladder, target: Target) -> Found:
    """One look with a request's whole time, whatever it finds."""
    verdict = ladder.look(target.request_timeout)
    return _found(ladder, verdict, 0.0)


def wait_ready(
    ladder: Ladder,
    target: Target,
    *,
    name: str,
    timeout: float,
    interval: float,
    passes: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Found:
    """Look until ready `passes` times in a row. Raises HealthError with the last state when that does not come."""
    started = clock()
    watch = _Watch(ladder, target, passes=passes, timeout=timeout, clock=clock)
    backoff = Backoff(first=min(FIRST_PAUSE, interval), most=interval)
    verdict = Waiter(watch.look, timeout=None, backoff=backoff, clock=clock, sleep=sleep).wait().value
    found = _found(ladder, verdict, clock() - started)
    if not watch.passed:
        raise failure(target, found, name)
    return found


def _found(ladder: Ladder, verdict: Verdict, waited: float) -> Found:
    version = ladder.version() if verdict.state == "ready" else None
    url = ladder.place.url if ladder.place else None
    return Found(verdict, waited, url, version, ladder.restarts)


class _Watch:
    """The predicate: counts passes, keeps the clock of loading, and knows which states will not mend themselves."""

    def __init__(
        self, ladder: Ladder, target: Target, *, passes: int, timeout: float, clock: Callable[[], float]
    ) -> None:
        self._ladder = ladder
        self._passes = passes
        self._timeout = timeout
        self._clock = clock
        self._ends = clock() + timeout
        self._longest = target.request_timeout * MOST_PATIENCE
        self._patience = target.request_timeout
        self._passed = 0
        self._restarts = 0
        self._loads = 0
        self._wrong_since: float | None = None
        self._last: Verdict | None = None

    @property
    def passed(self) -> bool:
        return self._passed >= self._passes

    def look(self) -> Seen[Verdict]:
        verdict = self._ladder.look(self._budget(), self._fair_patience())
        self._begin_anew()
        self._passed = self._passed + 1 if verdict.state == "ready" else 0
        if verdict.busy:
            self._patience = min(2 * self._patience, self._longest)
        if verdict.cut and self._last is not None and self._last.state != "ready":
            # What an earlier look found in its full time says more.
            verdict = self._last
        self._last = verdict
        left = self._ends - self._clock()
        if self.passed or self._is_final(verdict) or left <= 0:
            return Seen(done=True, value=verdict)
        return Seen(done=False, value=verdict, look_within=min(left, left if self._queued(verdict) else NEAR_PAUSE))

    def _budget(self) -> float:
        if not self._timeout:
            return self._patience
        # A look at the very end still needs some time to find anything at all.
        return max(self._ends - self._clock(), min(1.0, self._patience))

    def _fair_patience(self) -> float:
        return min(self._patience, self._timeout) if self._timeout else self._patience

    def _begin_anew(self) -> None:
        """A requeue puts the engine back to its start, and so the clock and the passes."""
        restarts, loads = self._ladder.restarts, self._ladder.loads
        if restarts > self._restarts or (restarts and loads > self._loads):
            self._passed = 0
            self._wrong_since = None
            self._last = None
            if restarts <= MOST_RESTARTS:
                self._ends = self._clock() + self._timeout
        self._restarts, self._loads = restarts, loads

    @staticmethod
    def _queued(verdict: Verdict) -> bool:
        return verdict.state == "pending"

    def _is_final(self, verdict: Verdict) -> bool:
        if verdict.state != "wrong_model":
            self._wrong_since = None
            return verdict.final
        if self._wrong_since is None:
            self._wrong_since = self._clock()
        return self._clock() - self._wrong_since >= WRONG_MODEL_SECONDS


def failure(target: Target, found: Found, name: str) -> HealthError:
    verdict = found.verdict
    by_job = name.startswith("job ")
    where = f"{name} at {found.url}" if by_job and found.url else name
    what = f"{target.model} {'of' if by_job else 'at'} {where}" if target.model else where
    meanwhile = f" (its job was requeued {found.restarts} times meanwhile)" if found.restarts else ""
    cause, advice = verdict.detail, _advice(found)
    if verdict.state == "ready":
        cause = "it was ready, but not as often in a row as passes asks"
    message = (
        f"Waiting for {what} failed: after {found.waited:.0f} seconds it is {verdict.state} at stage {verdict.stage}: "
        f"{cause.rstrip('.')}{meanwhile}. {advice}.{verdict.log}"
    )
    not_ready = replace(found, version=None).facts | {"ready": False}
    return HealthError(message=message, facts=not_ready)


def _advice(found: Found) -> str:
    verdict = found.verdict
    if verdict.state == "ready":
        return "Look at the engine's log for why it comes and goes"
    if verdict.state == "pending" and verdict.final:
        return NEVER_STARTS
    if verdict.state == "unreachable" and verdict.stage == "job":
        return NOWHERE
    return BUSY if verdict.busy else ADVICE[verdict.state]
