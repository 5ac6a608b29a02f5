# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of answers: parts while the job runs, one file in the order of the requests in the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import typing as t
from pathlib import Path

from .errors import BatchError
from .lines import Line, answer_id
from .requests import read_requests

# Asked once more it may be answered: the engine had too much to do.
TOO_MANY_REQUESTS = 429


def as_answer(wanted: dict[str, t.Any], status: int, text: bytes, error: str) -> dict[str, t.Any]:
    """A line of the file of answers, as OpenAI writes it."""
    answer: dict[str, t.Any] = {
        "id": answer_id(wanted),
        "custom_id": wanted["custom_id"],
        "response": None,
        "error": None,
    }
    if not status:
        return {**answer, "error": {"code": "no_answer", "message": error}}
    try:
        body = json.loads(text)
    except ValueError:
        body = {"error": {"message": text.decode(errors="replace")[:2000]}}
    body = body if isinstance(body, dict) else {"data": body}
    return {**answer, "response": {"status_code": status, "request_id": body.get("id") or "", "body": body}}


def said(answer: dict[str, t.Any]) -> str:
    """The engine's words for a failure, in one line."""
    error = answer["error"] or answer["response"]["body"].get("error") or {}
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message).split())[:300]


def part_of(answers: Path, rank: int, ranks: int) -> Path:
    """Where a task of the job writes."""
    return answers.with_name(f"{answers.name}.part" + (f".{rank}" if ranks > 1 else ""))


def parts_of(answers: Path) -> list[Path]:
    """The answers of earlier runs: those that were put together, and those of each task, however many there were."""
    name = re.compile(re.escape(answers.name) + r"(\.part(\.\d+)?)?")
    return sorted(path for path in answers.parent.iterdir() if name.fullmatch(path.name) and path.is_file())


def read_answers(path: Path) -> t.Iterator[tuple[str, int, dict[str, t.Any]]]:
    """(custom_id, offset, answer) of each whole line; a line that a kill cut off has no end."""
    offset = 0
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                with contextlib.suppress(ValueError):
                    answer = json.loads(line)
                    if isinstance(answer, dict) and isinstance(answer.get("custom_id"), str):
                        yield answer["custom_id"], offset, answer
            offset += len(line)


def settled(answer: dict[str, t.Any]) -> bool:
    """Whether asking again would give the same. A server's error (5xx) or none at all is worth another try."""
    response = answer.get("response")
    return isinstance(response, dict) and final(int(response.get("status_code") or 500))


def final(status: int) -> bool:
    return 0 < status < 500 and status != TOO_MANY_REQUESTS


def settled_requests(answers: Path) -> set[tuple[str, str]]:
    """The (custom_id, answer_id) of each request that need not be asked again."""
    found = (answer for path in parts_of(answers) for _id, _offset, answer in read_answers(path))
    return {(answer["custom_id"], str(answer.get("id"))) for answer in found if settled(answer)}


def refuse_other(answers: Path, wanted: list[Line]) -> None:
    """A file that is there is gone on with. One that holds anything else must not be replaced."""
    if not answers.exists():
        return
    try:
        lines = sum(bool(line.strip()) for line in answers.read_bytes().splitlines())
        ids = [custom_id for custom_id, _offset, _answer in read_answers(answers)]
    except OSError as error:
        raise BatchError(66, f"Reading {answers} failed: {error.strerror}.") from error
    strange = next(iter(set(ids) - {request.custom_id for request in wanted}), None)
    problem = ""
    if len(ids) != lines:
        problem = "is there and is no file of answers"
    elif strange is not None:
        problem = f"has the answer to {strange!r}, which is no request here"
    if problem:
        raise BatchError(65, f"{answers} {problem}. Give another file. No engine was started.")


def open_part(part: Path) -> t.BinaryIO:
    """For adding, by one job at a time. What a kill left without an end is ended: the next answer has its own line."""
    try:
        file = part.open("ab+")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
    except BlockingIOError as error:
        raise BatchError(75, f"Another job is writing to {part}: wait for it, or give another file.") from error
    except OSError as error:
        raise BatchError(66, f"Writing the answers to {part} failed: {error.strerror}.") from error
    return t.cast("t.BinaryIO", file)


def finish(requests: Path, answers: Path) -> str:
    """Put one file together, in the order of the requests, under its name when it is whole. Returns what to say."""
    wanted = read_requests(requests)
    parts = parts_of(answers)
    found = _best(parts, wanted)
    missing = [request for request in wanted if request.custom_id not in found]
    if missing:
        words = f"{len(missing)} of {len(wanted)} requests have no answer yet, the first in line {missing[0].number}"
        raise BatchError(75, f"{words}. Submit the job again with the same files: it goes on from there.")
    if parts != [answers]:
        _put_together(answers, [found[request.custom_id] for request in wanted])
        for path in parts:
            if path != answers:
                path.unlink()
    failed = [request for request in wanted if not found[request.custom_id].good]
    if failed:
        words = f"{len(failed)} of {len(wanted)} requests failed in the engine, the first in line {failed[0].number}"
        raise BatchError(75, f"{words}. Their errors are in {answers}; the job submitted again asks just them again.")
    return f"Answers: {answers} ({len(wanted)} requests)"


class Place(t.NamedTuple):
    """Where an answer is, and whether it is worth keeping."""

    good: bool
    path: Path
    offset: int


def _best(parts: list[Path], wanted: list[Line]) -> dict[str, Place]:
    """For each request an answer of the engine, else what stands in for it."""
    asked = {request.custom_id: request.answer_id for request in wanted}
    best: dict[str, Place] = {}
    for path in parts:
        for custom_id, offset, answer in read_answers(path):
            if asked.get(custom_id) != answer.get("id"):
                continue
            place = Place(settled(answer), path, offset)
            if place.good or custom_id not in best or not best[custom_id].good:
                best[custom_id] = place
    return best


def _put_together(answers: Path, places: list[Place]) -> None:
    whole = answers.with_name(f"{answers.name}.whole")
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(path.open("rb")) for path in {place.path for place in places}}
        target = stack.enter_context(whole.open("wb"))
        for place in places:
            files[place.path].seek(place.offset)
            target.write(files[place.path].readline())
        target.flush()
        os.fsync(target.fileno())
    whole.replace(answers)
