# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of requests, looked at before a job waits for a GPU to refuse it. Pure."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._vllm.batch_lines import read_lines

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_PROBLEMS = 5


@dataclass(frozen=True)
class Looked:
    """`requests`: how many lines hold one."""

    requests: int
    problems: tuple[str, ...] = ()


def look(lines: Iterable[bytes], served: Sequence[str]) -> Looked:
    """What is wrong with the lines of a batch, the first faults in words."""
    count = 0
    problems: list[str] = []
    for line in read_lines(lines):
        count += 1
        problem = line.problem
        if not problem and served and line.model and line.model not in served:
            problem = f"asks for the model {line.model!r}; this batch serves {', '.join(served)}"
        if problem:
            problems.append(f"line {line.number}: {problem}")
            if len(problems) >= MOST_PROBLEMS:
                break
    if not count:
        problems.append("it holds no request")
    return Looked(count, tuple(problems))


def batch_name(job_name: str, requests: str, answers: str | None) -> str:
    """A job's name for one file of requests: files of one model may wait and run side by side."""
    text = json.dumps([requests, answers])
    return f"{job_name}+{hashlib.sha256(text.encode('utf-8', errors='surrogateescape')).hexdigest()[:8]}"
