# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of requests: every line is checked before an engine is started."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import BatchError

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Request:
    """`answer_id` is made of what is asked: an answer to other words under the same custom_id is none to this."""

    custom_id: str
    answer_id: str
    number: int
    offset: int


def read_requests(path: Path) -> list[Request]:
    """All requests, by where their lines are. Every line is checked before an engine is started."""
    found: list[Request] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    offset = 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    custom_id, answer_id, problem = check_line(line)
                    if not problem and custom_id in seen:
                        problem = f"custom_id {custom_id!r} is also that of line {seen[custom_id]}"
                    if problem:
                        problems.append(f"  line {number}: {problem}")
                    seen.setdefault(custom_id, number)
                    found.append(Request(custom_id, answer_id, number, offset))
                offset += len(line)
    except OSError as error:
        raise BatchError(66, f"Reading the requests in {path} failed: {error.strerror}.") from error
    if problems:
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        shown = "\n".join(problems[:SHOWN_PROBLEMS])
        raise BatchError(65, f"{path} has lines that cannot be asked:\n{shown}{more}\nNo engine was started.")
    if not found:
        raise BatchError(65, f"{path} has no request. Each line is one, as in OpenAI's batches. No engine was started.")
    return found


def check_line(line: bytes) -> tuple[str, str, str]:
    """The request's custom_id, the id of its answer, and why it cannot be asked, if so."""
    try:
        wanted = json.loads(line)
    except ValueError as error:
        return "", "", f"is no JSON ({error})"
    if not isinstance(wanted, dict):
        return "", "", f"is {type(wanted).__name__}, not an object"
    custom_id = wanted.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return "", "", "has no custom_id (a text)"
    return custom_id, answer_id(wanted), _problem(wanted)


def answer_id(wanted: dict[str, t.Any]) -> str:
    asked = json.dumps([wanted.get("url"), wanted.get("body")], sort_keys=True)
    return f"batch_req_{hashlib.sha256(asked.encode()).hexdigest()[:24]}"


def _problem(wanted: dict[str, t.Any]) -> str:
    url, body = wanted.get("url"), wanted.get("body")
    if wanted.get("method") != "POST":
        return f"has the method {wanted.get('method')!r}; POST is allowed"
    if not isinstance(url, str) or not url.startswith("/v1/"):
        return f"has the url {url!r}; it is a path such as /v1/chat/completions"
    if not isinstance(body, dict):
        return "has no body (an object)"
    if body.get("stream"):
        return "asks for a stream, which a file cannot be"
    return ""
