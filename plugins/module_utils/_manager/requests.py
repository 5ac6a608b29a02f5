# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of requests, looked at before a job waits for a GPU to refuse it. Pure."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_PROBLEMS = 5


@dataclass(frozen=True)
class Looked:
    """`requests`: how many lines hold one."""

    requests: int
    problems: tuple[str, ...] = ()


def look(lines: Iterable[str], served: Sequence[str]) -> Looked:
    """What is wrong with the lines of a batch, the first faults in words."""
    count = 0
    problems: list[str] = []
    ids: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        count += 1
        fault = _fault(line, served, ids)
        if fault:
            problems.append(f"line {number}: {fault}")
            if len(problems) >= MOST_PROBLEMS:
                break
    if not count:
        problems.append("it holds no request")
    return Looked(count, tuple(problems))


def _fault(line: str, served: Sequence[str], ids: set[str]) -> str | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "it is no JSON. Each line is one object, as for OpenAI's batch files"
    if not isinstance(value, dict):
        return "it is no JSON object"
    missing = [key for key in ("custom_id", "method", "url", "body") if key not in value]
    if missing:
        return f"{', '.join(missing)} is missing"
    url = value["url"]
    if not isinstance(url, str) or not url.startswith("/v1/"):
        return f"url {url!r} is not answered in batches; /v1/chat/completions is"
    if value["custom_id"] in ids:
        return f"custom_id {value['custom_id']!r} is there twice"
    ids.add(value["custom_id"])
    model = value["body"].get("model") if isinstance(value["body"], dict) else None
    if served and model is not None and model not in served:
        return f"model {model!r} is not what this batch serves: {', '.join(served)}"
    return None


def batch_name(job_name: str, requests: str, answers: str | None) -> str:
    """A job's name for one file of requests: files of one model may wait and run side by side."""
    text = json.dumps([requests, answers])
    return f"{job_name}+{hashlib.sha256(text.encode('utf-8', errors='surrogateescape')).hexdigest()[:8]}"
