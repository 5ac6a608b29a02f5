# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One task of the job: its share of the requests, asked by some threads, each answer written at once."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import tempfile
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .answers import as_answer, final, open_part, part_of, refuse_other, said, settled, settled_requests
from .engine import Engine, ask
from .errors import BatchError
from .lines import Line
from .requests import read_requests

ATTEMPTS = 3
# Of one long answer. The engine's own death is seen at once.
REQUEST_SECONDS = 3600.0
# An engine that answers nothing but errors is broken: going on would fill the file with them.
ERRORS_IN_A_ROW = 20
PROGRESS_SECONDS = 10.0


@dataclass
class Tally:
    """What has been answered in this run."""

    total: int
    done_before: int
    began: float
    answered: int = 0
    refused: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def line(self, now: float) -> str:
        seconds = max(now - self.began, 0.001)
        done = self.done_before + self.answered
        rate = self.answered / seconds
        words = f"{done} of {self.total} answered ({100 * done / max(self.total, 1):.1f} %), {rate:.1f} requests/s"
        words += f", {self.tokens_in / seconds:.0f} tokens/s in, {self.tokens_out / seconds:.0f} out"
        if self.refused:
            words += f", {self.refused} refused by the engine"
        if self.failed:
            words += f", {self.failed} without an answer"
        left = self.total - done
        return words + (f", about {left / rate / 60:.0f} min left" if left and rate else "")


@dataclass
class Run:
    """Some threads ask, each for one request at a time, and write the answer at once."""

    requests: Path
    engine: Engine
    part: t.BinaryIO
    tally: Tally
    stop: threading.Event
    waiting: queue.SimpleQueue[Line] = field(default_factory=queue.SimpleQueue)
    lock: threading.Lock = field(default_factory=threading.Lock)
    errors_in_a_row: int = 0
    broken: str = ""

    def work(self) -> None:
        with self.requests.open("rb") as lines:
            while not self.stop.is_set() and not self.broken:
                try:
                    request = self.waiting.get_nowait()
                except queue.Empty:
                    return
                lines.seek(request.offset)
                self._write(self._answer(json.loads(lines.readline())))

    def _answer(self, wanted: dict[str, t.Any]) -> dict[str, t.Any] | None:
        body = json.dumps(wanted["body"]).encode()
        status, text, error = 0, b"", ""
        for attempt in range(ATTEMPTS):
            try:
                status, text = ask(self.engine.path, "POST", wanted["url"], body, REQUEST_SECONDS)
            except (OSError, http.client.HTTPException) as raised:
                error = f"{type(raised).__name__}: {raised}"
            if final(status):
                break
            if self.stop.wait(float(attempt)) or not self.engine.alive:
                # The job goes on with this request next time.
                return None
        return as_answer(wanted, status, text, error)

    def _write(self, answer: dict[str, t.Any] | None) -> None:
        with self.lock:
            if answer is None:
                if not self.engine.alive and not self.stop.is_set():
                    self.broken = "The engine died."
                return
            try:
                self.part.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                self.part.flush()
            except OSError as error:
                self.broken = f"Writing the answers failed: {error.strerror}."
            self._count(answer)

    def _count(self, answer: dict[str, t.Any]) -> None:
        if not settled(answer):
            self.tally.failed += 1
            self.errors_in_a_row += 1
            if self.errors_in_a_row >= ERRORS_IN_A_ROW:
                self.broken = f"The engine failed {ERRORS_IN_A_ROW} requests in a row, the last with: {said(answer)}"
            return
        self.errors_in_a_row = 0
        self.tally.answered += 1
        self.tally.refused += answer["response"]["status_code"] >= 400
        usage = answer["response"]["body"].get("usage") or {}
        self.tally.tokens_in += usage.get("prompt_tokens") or 0
        self.tally.tokens_out += usage.get("completion_tokens") or 0


def answer_all(requests: Path, answers: Path, argv: list[str], concurrency: int) -> None:
    """This task's share, by an engine of its own."""
    rank, ranks = int(os.environ.get("SLURM_PROCID", 0)), int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    wanted = read_requests(requests)
    refuse_other(answers, wanted)
    mine = wanted[rank::ranks]
    done = settled_requests(answers)
    todo = [request for request in mine if (request.custom_id, request.answer_id) not in done]
    who = f"task {rank} of {ranks}: " if ranks > 1 else ""
    say(f"{who}{len(mine)} requests, {len(mine) - len(todo)} of them answered before.")
    if not todo:
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    part = part_of(answers, rank, ranks)
    with tempfile.TemporaryDirectory(prefix="llmops-batch-") as folder, open_part(part) as file:
        engine = Engine(argv, f"{folder}/engine.sock")
        try:
            engine.wait_until_well(stop)
            run = Run(requests, engine, file, Tally(len(mine), len(mine) - len(todo), time.monotonic()), stop)
            for request in todo:
                run.waiting.put(request)
            drive(run, min(concurrency, len(todo)), who)
        finally:
            engine.end()
    if stop.is_set():
        raise BatchError(143, f"{who}stopped; the answers so far are in {part}, and the job goes on from there.")
    if run.broken:
        raise BatchError(70, f"{who}{run.broken} The answers so far are in {part}.")


def drive(run: Run, threads: int, who: str) -> None:
    # Daemons: what still waits for an engine that hangs must not keep the job.
    workers = [threading.Thread(target=run.work, daemon=True) for _number in range(threads)]
    for worker in workers:
        worker.start()
    shown = time.monotonic()
    while any(worker.is_alive() for worker in workers) and not run.stop.is_set():
        time.sleep(0.2)
        if time.monotonic() - shown >= PROGRESS_SECONDS:
            shown = time.monotonic()
            say(who + run.tally.line(shown))
    say(who + run.tally.line(time.monotonic()))


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)
