# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer says about an engine. Pure functions, a rung each: a verdict, or None to climb on."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault, Reply

State = t.Literal[
    "pending", "starting", "loading", "ready", "hung", "auth_error", "wrong_model", "job_failed", "unreachable"
]
Stage = t.Literal["job", "tcp", "http", "model", "completion"]
Level = t.Literal["tcp", "http", "model", "completion"]
Task = t.Literal["generate", "embed"]
Phase = t.Literal["pending", "running", "ended", "unknown"]

# What a gateway says that has no engine behind it yet, an engine that is not up yet, and either when it is full.
NOT_NOW = frozenset({429, 502, 503, 504})
LONGEST_QUOTE = 200


@dataclass(frozen=True)
class JobSeen:
    """What Slurm says about the engine's job; `unknown` when Slurm did not answer, which is no bad news."""

    phase: Phase
    detail: str = ""
    log: str = ""


@dataclass(frozen=True)
class Verdict:
    """What one climb found, and how far it came."""

    state: State
    stage: Stage
    detail: str
    served_models: tuple[str, ...] = ()
    max_model_len: int | None = None
    completion_seconds: float | None = None
    log: str = ""


@dataclass(frozen=True)
class Models:
    """The answer of /v1/models: name -> longest context."""

    lengths: dict[str, int | None] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.lengths)


def of_job(job: JobSeen) -> Verdict | None:
    if job.phase == "pending":
        return Verdict("pending", "job", job.detail)
    if job.phase == "ended":
        return Verdict("job_failed", "job", job.detail, log=job.log)
    return None


def of_fault(fault: Fault, stage: Stage, *, job_runs: bool) -> Verdict:
    """No HTTP answer. A closed port of a running job means that its engine still starts."""
    if fault.kind == "timeout":
        return Verdict("hung", stage, fault.detail)
    if fault.kind == "not_http":
        return Verdict("wrong_model", "http", fault.detail)
    if fault.kind in ("refused", "reset"):
        reached: Stage = "tcp" if fault.kind == "refused" else stage
        return Verdict("starting" if job_runs else "unreachable", reached, fault.detail)
    return Verdict("unreachable", "tcp", fault.detail)


def of_health(reply: Reply, level: Level) -> Verdict | None:
    """GET /health. Good news here is never enough: an engine that hangs or has lost a worker may still say 200."""
    if reply.status == 200:
        return None
    if reply.status in NOT_NOW:
        return Verdict("loading", "http", f"/health answers {reply.status}")
    if reply.status >= 500:
        return Verdict("hung", "http", f"/health answers {reply.status}")
    if level == "http":
        return Verdict("wrong_model", "http", f"/health answers {reply.status}, so this is no vLLM")
    # A gateway need not let /health through; the next rung tells.
    return None


def of_models(reply: Reply, model: str | None) -> Verdict | Models:
    """GET /v1/models."""
    if refused := _of_status(reply, "model", "/v1/models"):
        return refused
    models = parse_models(reply.json())
    if models is None:
        return Verdict(
            "wrong_model", "model", "/v1/models is not a list of models, so this is no OpenAI-compatible server"
        )
    if not models.names:
        return Verdict("loading", "model", "no model is served yet")
    if model is not None and model not in models.lengths:
        names = ", ".join(models.names)
        return Verdict("wrong_model", "model", f"{model} is not served here, but {names}", served_models=models.names)
    return models


def parse_models(value: t.Any) -> Models | None:
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    lengths: dict[str, int | None] = {}
    for entry in entries:
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            return None
        length = entry.get("max_model_len")
        lengths[name] = length if isinstance(length, int) else None
    return Models(lengths)


def of_completion(reply: Reply, task: Task) -> Verdict | None:
    """POST of the smallest request there is. Only a real token, or a real vector, is a pass."""
    path = "/v1/embeddings" if task == "embed" else "/v1/completions"
    if refused := _of_status(reply, "completion", path):
        return refused
    value = reply.json()
    if task == "embed":
        return None if has_embedding(value) else Verdict("hung", "completion", f"{path} answers 200 without a vector")
    return None if has_token(value) else Verdict("hung", "completion", f"{path} answers 200 without a token")


def has_token(value: t.Any) -> bool:
    usage = value.get("usage") if isinstance(value, dict) else None
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return isinstance(count, int) and count >= 1


def has_embedding(value: t.Any) -> bool:
    data = value.get("data") if isinstance(value, dict) else None
    first = data[0] if isinstance(data, list) and data else None
    vector = first.get("embedding") if isinstance(first, dict) else None
    return isinstance(vector, list) and bool(vector) and all(isinstance(number, (int, float)) for number in vector)


def _of_status(reply: Reply, stage: Stage, path: str) -> Verdict | None:
    status = reply.status
    if status == 200:
        return None
    if status in (401, 403):
        return Verdict("auth_error", stage, f"{path} answers {status}")
    if status in NOT_NOW:
        return Verdict("loading", stage, f"{path} answers {status}")
    said = _quote(reply)
    if status >= 500:
        return Verdict("hung", stage, f"{path} answers {status}{said}")
    return Verdict("wrong_model", stage, f"{path} answers {status}{said}")


def _quote(reply: Reply) -> str:
    """The server's own words, where it has some in the usual place."""
    value = reply.json()
    error = value.get("error", value) if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return f": {' '.join(message.split())[:LONGEST_QUOTE]}" if isinstance(message, str) else ""
