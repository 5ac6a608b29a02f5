# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an engine is, from what it writes while it starts. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

Stage = t.Literal["queued", "starting", "loading", "compiling", "preparing", "answering", "ready", "failed"]
STAGES: tuple[Stage, ...] = ("queued", "starting", "loading", "compiling", "preparing", "answering", "ready", "failed")
WORDS: dict[Stage, str] = {
    "queued": "queued",
    "starting": "starting",
    "loading": "loading weights",
    "compiling": "compiling",
    "preparing": "preparing the cache",
    "answering": "answering requests",
    "ready": "ready",
    "failed": "failed",
}

# A requeue appends to the same files: what was said before it is about another start. The script says so on standard
# output, Slurm on standard error.
_NEW_START = re.compile(
    r"^Job \d+ on \S+, start number \d+|"
    r"^slurmstepd: error: \*\*\* JOB \d+ .*DUE TO (?:JOB REQUEUE|NODE FAILURE|PREEMPTION)",
    re.MULTILINE,
)
_PERCENT = r"[^\n\r]*?\s(?P<percent>\d{1,3})%"

# The later of two lines says more. A percentage is one of the stage; seconds are said when it is over.
_LINES: tuple[tuple[Stage, re.Pattern[str]], ...] = (
    ("starting", re.compile(r"Resolved architecture: (?P<detail>\S+)")),
    ("starting", re.compile(r"Initializing a V1 LLM engine")),
    ("loading", re.compile(r"Starting to load model")),
    ("loading", re.compile(r"Loading (?:safetensors|pt|bin|fastsafetensors) checkpoint shards:" + _PERCENT)),
    ("loading", re.compile(r"Loading weights took (?P<seconds>[\d.]+) seconds")),
    (
        "compiling",
        re.compile(
            r"(?:Dynamo bytecode transform time|Compiling a graph for|Start compiling|Using cache directory: \S+torch)"
        ),
    ),
    ("compiling", re.compile(r"torch\.compile (?:takes|took) (?P<seconds>[\d.]+) s")),
    ("preparing", re.compile(r"KV cache size: (?P<detail>[\d,]+ tokens)")),
    ("compiling", re.compile(r"Capturing CUDA graphs?\b" + _PERCENT)),
    ("compiling", re.compile(r"Graph capturing finished in (?P<seconds>\d+) secs")),
    ("preparing", re.compile(r"init engine \(profile, create kv cache, warmup model\) took (?P<seconds>[\d.]+)")),
    ("preparing", re.compile(r"(?:Starting vLLM (?:API )?server|Started server process)")),
    ("answering", re.compile(r"Application startup complete")),
    ("answering", re.compile(r"\d+ of \d+ answered \((?P<percent>\d{1,3})")),
)


@dataclass(frozen=True)
class Progress:
    """`percent` only where the engine counts; `detail` is a word of its own, where it says one."""

    stage: Stage
    percent: int | None = None
    detail: str = ""

    def words(self) -> str:
        percent = f" {self.percent}%" if self.percent is not None else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{WORDS[self.stage]}{percent}{detail}"


def last_start(text: str) -> str:
    """What was written since the job began for the last time."""
    starts = [match.start() for match in _NEW_START.finditer(text)]
    return text[starts[-1] :] if starts else text


def read_progress(*logs: str) -> Progress:
    """The furthest that any of the job's logs shows; "starting" before the engine says anything."""
    found = [one for one in (_of_log(last_start(log)) for log in logs) if one is not None]
    return max(found, key=lambda one: (STAGES.index(one.stage), one.percent or 0), default=Progress("starting"))


def _of_log(log: str) -> Progress | None:
    last: tuple[int, Stage, re.Match[str]] | None = None
    for stage, pattern in _LINES:
        for match in pattern.finditer(log):
            if last is None or match.start() > last[0]:
                last = (match.start(), stage, match)
    if last is None:
        return None
    _place, stage, match = last
    groups = match.groupdict()
    percent = groups.get("percent")
    if percent is None and stage == "loading" and groups.get("seconds"):
        percent = "100"
    return Progress(stage, min(int(percent), 100) if percent is not None else None, groups.get("detail") or "")
