# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One climb over one server: from its port to a real completion. Stops at the first rung that does not hold."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._vllm import classify
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Level, Stage, Task, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Client, Fault, Reply
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import CLOCK_SKEW, Place
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.metrics import Metrics, parse_metrics

# The engine's counters are a help, not a rung: they may not cost the time that the completion needs.
METRICS_SECONDS = 5.0
# A request that was given this part of its time or more, and got no answer, has been met with silence.
FAIR_SHARE = 0.5


@dataclass(frozen=True)
class Target:
    """What is to be checked, how far, and with how much patience for one request."""

    model: str | None
    level: Level = "completion"
    task: Task = "generate"
    request_timeout: float = 30.0


@dataclass(frozen=True)
class Climb:
    """`ends`: when the time for all requests together is over. `patience`: what a request may take."""

    place: Place
    target: Target
    job_runs: bool
    ends: float
    patience: float
    clock: Callable[[], float] = time.monotonic

    @property
    def _client(self) -> Client:
        return self.place.client

    def climb(self) -> Verdict:
        level = self.target.level
        if level == "tcp":
            fault = self._client.connect(self._time())
            if fault:
                return self._no_answer(fault, "tcp", self.patience)
            return Verdict("ready", "tcp", "the port is open")
        given = self._time()
        health = self._client.get("/health", given)
        if isinstance(health, Fault):
            return self._no_answer(health, "http", given)
        if verdict := classify.of_health(health, level):
            return verdict
        if level == "http":
            return Verdict("ready", "http", "/health answers 200")
        return self._climb_to_model()

    def _climb_to_model(self) -> Verdict:
        given = self._time()
        reply = self._client.get("/v1/models", given)
        if isinstance(reply, Fault):
            return self._no_answer(reply, "model", given)
        wanted = self.target.model or self.place.model
        models = classify.of_models(reply, wanted)
        if isinstance(models, Verdict):
            return models
        model = wanted or models.names[0]
        facts: dict[str, t.Any] = {"served_models": models.names, "max_model_len": models.lengths[model]}
        if self.target.level == "model":
            return Verdict("ready", "model", f"{model} is served", **facts)
        return self._climb_to_completion(model, facts)

    def _climb_to_completion(self, model: str, facts: dict[str, t.Any]) -> Verdict:
        before = self._metrics()
        if before and before.started and self.place.job_started:
            stranger = classify.of_stranger(before.started, self.place.job_started, CLOCK_SKEW)
            if stranger:
                return stranger
        path, body = classify.smallest_request(self.target.task, model)
        given = self._time()
        reply = self._client.post(path, body, given)
        if isinstance(reply, Fault):
            return self._busy(reply, before) or self._no_answer(reply, "completion", given)
        if verdict := classify.of_completion(reply, self.target.task):
            return verdict
        return Verdict("ready", "completion", f"{model} answers", completion_seconds=round(reply.seconds, 3), **facts)

    def _busy(self, fault: Fault, before: Metrics | None) -> Verdict | None:
        """Our request waits, but the engine works: it has many others, and is anything but dead."""
        now = self._metrics() if fault.kind == "timeout" and before else None
        if now is None or not now.worked_since(before):
            return None
        detail = f"{fault.detail}, but it works: {now.running} requests running, {now.waiting} waiting"
        return Verdict("loading", "completion", detail, busy=True)

    def _metrics(self) -> Metrics | None:
        reply = self._client.get("/metrics", min(METRICS_SECONDS, self.patience))
        return parse_metrics(reply.text()) if isinstance(reply, Reply) and reply.status == 200 else None

    def _no_answer(self, fault: Fault, stage: Stage, given: float) -> Verdict:
        fair = given >= FAIR_SHARE * self.patience
        return classify.of_fault(fault, stage, job_runs=self.job_runs, fair=fair)

    def _time(self) -> float:
        return max(min(self.patience, self.ends - self.clock()), 0.05)
