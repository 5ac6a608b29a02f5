# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's own counters say: that it works, although our request waits. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

# Each of them grows with work done, whatever the work is: prompts, tokens, steps, answers of any kind of model.
_WORK = frozenset(
    {
        "vllm:generation_tokens_total",
        "vllm:iteration_tokens_total_count",
        "vllm:prompt_tokens_total",
        "vllm:request_success_total",
    }
)
_LINE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{.*\})?\s+(?P<value>\S+)(?:\s+\S+)?\s*")


@dataclass(frozen=True)
class Metrics:
    """The page of one vLLM server. `started`: when its process was started, seconds since 1970."""

    work: float
    running: int = 0
    waiting: int = 0
    started: float | None = None

    def worked_since(self, before: Metrics | None) -> bool:
        return before is not None and self.work > before.work


def parse_metrics(text: str) -> Metrics | None:
    """None when this is not the page of a vLLM: then it says nothing about one."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.fullmatch(line)
        value = _number(match["value"]) if match else None
        if match and value is not None:
            sums[match["name"]] = sums.get(match["name"], 0.0) + value
    if not _WORK & sums.keys():
        return None
    return Metrics(
        work=sum(sums.get(name, 0.0) for name in sorted(_WORK)),
        running=int(sums.get("vllm:num_requests_running", 0)),
        waiting=int(sums.get("vllm:num_requests_waiting", 0)),
        started=sums.get("process_start_time_seconds"),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
