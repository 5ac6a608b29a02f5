# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer says about an engine. Pure functions, a rung each: a verdict, or None to climb on."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._vllm.address import without_secrets
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault, Reply

State = t.Literal[
    "pending", "starting", "loading", "ready", "hung", "auth_error", "wrong_model", "job_failed", "unreachable"
]
Stage = t.Literal["job", "tcp", "http", "model", "completion"]
Level = t.Literal["tcp", "http", "model", "completion"]
Task = t.Literal["generate", "embed", "pooling", "classify", "score"]
Phase = t.Literal["pending", "running", "ended", "unknown"]

# What a gateway says that has no engine behind it yet, an engine that is not up yet, and either when it is full.
NOT_NOW = frozenset({429, 502, 503, 504})
LONGEST_QUOTE = 200
# Of the names that a stranger's server lists, so many are shown.
MOST_NAMES = 20


@dataclass(frozen=True)
class JobSeen:
    """What Slurm says about the engine's job; `unknown` when Slurm did not answer, which is no bad news.

    `host` and `started` (seconds since 1970) are those of the present run: a requeue changes them. `hopeless` is a job
    that waits for what never comes.
    """

    phase: Phase
    detail: str = ""
    log: str = ""
    host: str = ""
    started: int | None = None
    hopeless: bool = False


@dataclass(frozen=True)
class Verdict:
    """What one climb found, and how far it came.

    `final`: waiting cannot help. `busy`: it works for others. `cut`: our time ended too soon to judge.
    """

    state: State
    stage: Stage
    detail: str
    served_models: tuple[str, ...] = ()
    max_model_len: int | None = None
    completion_seconds: float | None = None
    log: str = ""
    final: bool = False
    busy: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Models:
    """The answer of /v1/models: name -> longest context."""

    lengths: dict[str, int | None] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.lengths)


def of_job(job: JobSeen) -> Verdict | None:
    if job.phase == "pending":
        return Verdict("pending", "job", job.detail, final=job.hopeless)
    if job.phase == "ended":
        return Verdict("job_failed", "job", job.detail, log=job.log, final=True)
    return None


def of_fault(fault: Fault, stage: Stage, *, job_runs: bool, fair: bool = True) -> Verdict:
    """No HTTP answer. A closed port of a running job means that its engine still starts.

    `fair`: whether the request had enough time, for silence to mean anything.
    """
    if fault.kind == "timeout":
        return Verdict("hung" if fair else "loading", stage, fault.detail, cut=not fair)
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
        return Verdict("wrong_model", "http", f"/health answers {reply.status}{_redirect(reply)}, so this is no vLLM")
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
        shown = models.names[:MOST_NAMES]
        more = f" and {len(models.names) - len(shown)} more" if len(models.names) > len(shown) else ""
        names = ", ".join(name[:LONGEST_QUOTE] for name in shown) + more
        return Verdict("wrong_model", "model", f"{model} is not served here, but {names}", served_models=shown)
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
        lengths[name] = length if isinstance(length, int) and not isinstance(length, bool) else None
    return Models(lengths)


def smallest_request(task: Task, model: str) -> tuple[str, dict[str, t.Any]]:
    """The request that costs an engine least and still makes it do all of its work."""
    if task == "generate":
        return "/v1/completions", {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    if task == "embed":
        return "/v1/embeddings", {"model": model, "input": "Hello"}
    if task == "score":
        return "/score", {"model": model, "text_1": "Hello", "text_2": "Hello"}
    return f"/{task}", {"model": model, "input": "Hello"}


def of_completion(reply: Reply, task: Task) -> Verdict | None:
    """POST of the smallest request there is. Only a real token, or a real vector or number, is a pass."""
    path, _body = smallest_request(task, "")
    if refused := _of_status(reply, "completion", path):
        return refused
    value = reply.json()
    if task == "generate":
        return None if has_token(value) else Verdict("hung", "completion", f"{path} answers 200 without a token")
    if _has_numbers(value, _RESULTS[task]):
        return None
    return Verdict("hung", "completion", f"{path} answers 200 without {_WANTED[task]}")


_RESULTS: dict[Task, str] = {"embed": "embedding", "pooling": "data", "classify": "probs", "score": "score"}
_WANTED: dict[Task, str] = {
    "embed": "a vector",
    "pooling": "numbers",
    "classify": "probabilities",
    "score": "a score",
}


def has_token(value: t.Any) -> bool:
    """At least one token counted, and a choice to show for it."""
    usage = value.get("usage") if isinstance(value, dict) else None
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        return False
    choices = value.get("choices")
    return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict)


def _has_numbers(value: t.Any, key: str) -> bool:
    data = value.get("data") if isinstance(value, dict) else None
    first = data[0] if isinstance(data, list) and data else None
    return _finite(first.get(key)) if isinstance(first, dict) else False


def _finite(value: t.Any, depth: int = 3) -> bool:
    """A number, or lists of them. Broken weights or kernels answer in time, with NaN."""
    if isinstance(value, list):
        return bool(value) and depth > 0 and all(_finite(one, depth - 1) for one in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def of_stranger(started: float, job_started: int, skew: float) -> Verdict | None:
    """A server that is older than the job is not the job's: another one holds the port."""
    if started >= job_started - skew:
        return None
    older = job_started - started
    return Verdict("wrong_model", "completion", f"what answers is {older:.0f} seconds older than the job")


def _of_status(reply: Reply, stage: Stage, path: str) -> Verdict | None:
    status = reply.status
    if status == 200:
        return None
    if status in (401, 403):
        return Verdict("auth_error", stage, f"{path} answers {status}", final=True)
    if status in NOT_NOW:
        return Verdict("loading", stage, f"{path} answers {status}")
    said = _redirect(reply) or _quote(reply)
    # vLLM says 501 for a request that its kind of model cannot take.
    if status >= 500 and status != 501:
        return Verdict("hung", stage, f"{path} answers {status}{said}")
    return Verdict("wrong_model", stage, f"{path} answers {status}{said}")


def _redirect(reply: Reply) -> str:
    if not 300 <= reply.status < 400:
        return ""
    return f", a redirect to {without_secrets(reply.location)} that is not followed, for the key goes nowhere else"


def _quote(reply: Reply) -> str:
    """The server's own words, where it has some in the usual place."""
    value = reply.json()
    error = value.get("error", value) if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return f": {' '.join(message.split())[:LONGEST_QUOTE]}" if isinstance(message, str) else ""
