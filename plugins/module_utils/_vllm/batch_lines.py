# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of requests, one line each as in OpenAI's batches: what each line asks, and why it cannot be asked. Pure.

The manager looks before it submits, the job before it starts an engine. The role vllm_jobs installs this file beside
the job's program, so it imports nothing of the collection.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """`number` counts from 1, `offset` in bytes. `answer_id` is made of what is asked: an answer to other words under
    the same custom_id is none to this. `model`: which one the request names. `problem` is empty for a good line.
    """

    number: int
    offset: int
    custom_id: str = ""
    answer_id: str = ""
    model: str = ""
    problem: str = ""


def read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """Every line that is not blank."""
    seen: dict[str, int] = {}
    offset = 0
    for number, text in enumerate(lines, start=1):
        if text.strip():
            line = _line(number, offset, text)
            if not line.problem and line.custom_id in seen:
                twice = f"custom_id {line.custom_id!r} is also that of line {seen[line.custom_id]}"
                line = Line(number, offset, line.custom_id, line.answer_id, line.model, twice)
            if line.custom_id:
                seen.setdefault(line.custom_id, number)
            yield line
        offset += len(text)


def answer_id(wanted: t.Mapping[str, t.Any]) -> str:
    asked = json.dumps([wanted.get("url"), wanted.get("body")], sort_keys=True)
    return f"batch_req_{hashlib.sha256(asked.encode()).hexdigest()[:24]}"


def _line(number: int, offset: int, text: bytes) -> Line:
    try:
        wanted = json.loads(text.strip())
    except json.JSONDecodeError as error:
        return Line(number, offset, problem=f"is no JSON ({error.msg}, character {error.pos + 1})")
    except (ValueError, RecursionError) as error:
        return Line(number, offset, problem=f"is no JSON ({error})")
    if not isinstance(wanted, dict):
        return Line(number, offset, problem=f"is {type(wanted).__name__}, not an object")
    custom_id = wanted.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return Line(number, offset, problem="has no custom_id (a text)")
    body = wanted.get("body")
    model = body.get("model") if isinstance(body, dict) else None
    named = model if isinstance(model, str) else ""
    return Line(number, offset, custom_id, answer_id(wanted), named, _problem(wanted))


def _problem(wanted: t.Mapping[str, t.Any]) -> str:
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
