# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the batch jobs, run as a job does, with a fake engine that does what the prompts say."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from llmops_batch.lines import read_lines
from llmops_batch.run import Tally

from tests.unit.roles.vllm_jobs.fake_batch_engine import DIES, FAILS, IS_SLOW, REFUSES

ROOT = Path(__file__).parents[4]
PROGRAM = ROOT / "roles/vllm_jobs/files/llmops_batch"
ENGINE = Path(__file__).with_name("fake_batch_engine.py")


class Job:
    """A folder with requests, answers and what the engine was asked."""

    def __init__(self, folder: Path, prompts: Sequence[str]) -> None:
        self.requests = folder / "requests.jsonl"
        self.answers = folder / "answers [1].jsonl"
        self.log = folder / "log"
        self.write(prompts)

    def write(self, prompts: Sequence[str]) -> None:
        lines = [{"custom_id": f"r{number}", "body": {"prompt": prompt}} for number, prompt in enumerate(prompts)]
        common = {"method": "POST", "url": "/v1/completions"}
        self.requests.write_text("".join(json.dumps({**common, **line}) + "\n" for line in lines))

    def start(self, *, rank: int = 0, ranks: int = 1) -> subprocess.Popen[str]:
        engine = [sys.executable, str(ENGINE), str(self.log)]
        argv = [sys.executable, "-B", str(PROGRAM), "--concurrency=4", str(self.requests), str(self.answers), "--"]
        environment = {**os.environ, "SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(ranks)}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*argv, *engine], env=environment, **pipes)

    def run(self, *, rank: int = 0, ranks: int = 1) -> tuple[int, str]:
        process = self.start(rank=rank, ranks=ranks)
        output, _none = process.communicate(timeout=60)
        return process.returncode, output

    def finish(self) -> tuple[int, str]:
        argv = [sys.executable, "-B", str(PROGRAM), "--finish", str(self.requests), str(self.answers)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def asked(self) -> list[str]:
        return sorted(self.log.read_text().split()) if self.log.exists() else []

    def found(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.answers.read_text().splitlines()]

    def part(self, suffix: str = "") -> Path:
        return self.answers.with_name(f"{self.answers.name}.part{suffix}")


def left_behind(job: Job) -> str:
    return subprocess.run(["pgrep", "-f", str(job.log)], capture_output=True, text=True).stdout


def test_all_are_answered_in_the_order_of_the_requests(tmp_path: Path) -> None:
    job = Job(tmp_path, [f"p{number}" for number in range(50)])
    status, output = job.run()
    assert status == 0, output
    assert "50 of 50 answered (100.0 %)" in output
    assert not job.answers.exists()
    assert job.finish() == (0, f"Answers: {job.answers} (50 requests)\n")
    assert [one["custom_id"] for one in job.found()] == [f"r{number}" for number in range(50)]
    assert job.found()[7] == {
        "id": "batch_req_" + hashlib.sha256(b'["/v1/completions", {"prompt": "p7"}]').hexdigest()[:24],
        "custom_id": "r7",
        "response": {
            "status_code": 200,
            "request_id": "cmpl-1",
            "body": {
                "id": "cmpl-1",
                "choices": [{"text": "to p7"}],
                "usage": {"prompt_tokens": 2, "completion_tokens": 3},
            },
        },
        "error": None,
    }
    assert not job.part().exists()
    assert left_behind(job) == ""


def test_what_is_answered_is_not_asked_again(tmp_path: Path) -> None:
    job = Job(tmp_path, ["a", "b", "c", DIES])
    status, output = job.run()
    assert status == 70, output
    assert "The engine died. The answers so far are in" in output
    # As a kill would leave it: the last answer is cut off.
    whole = job.part().read_bytes()
    job.part().write_bytes(whole + b'{"custom_id": "r3", "response": {"status')
    answered = len(whole.splitlines())
    job.log.unlink()
    job.write(["a", "b", "c", "d"])
    status, output = job.run()
    assert status == 0, output
    assert f"4 requests, {answered} of them answered before." in output
    assert len(job.asked()) == 4 - answered
    assert job.finish()[0] == 0
    assert [one["response"]["body"]["choices"][0]["text"] for one in job.found()] == ["to a", "to b", "to c", "to d"]
    # A third run needs no engine.
    job.log.unlink()
    assert job.run()[0] == 0
    assert job.finish()[0] == 0
    assert job.asked() == []


def test_an_answer_to_other_words_is_none(tmp_path: Path) -> None:
    job = Job(tmp_path, ["a", "b"])
    assert job.run()[0] == 0
    assert job.finish()[0] == 0
    job.log.unlink()
    job.write(["a", "c"])
    assert job.run()[0] == 0
    assert job.asked() == ["c"]
    assert job.finish()[0] == 0
    assert [one["response"]["body"]["choices"][0]["text"] for one in job.found()] == ["to a", "to c"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("precious\n", "is there and is no file of answers", id="something-else"),
        pytest.param('{"custom_id": "z"}\n', "has the answer to 'z', which is no request here", id="other-answers"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str, says: str) -> None:
    job = Job(tmp_path, ["a"])
    job.answers.write_text(text)
    status, output = job.run()
    assert status == 65
    assert f"{says}. Give another file. No engine was started." in output
    assert (job.answers.read_text(), job.asked()) == (text, [])


def test_a_refused_request_is_answered_and_a_failed_one_is_asked_again(tmp_path: Path) -> None:
    job = Job(tmp_path, [REFUSES, FAILS, "a"])
    status, output = job.run()
    assert status == 0, output
    assert "2 of 3 answered (66.7 %)" in output
    assert "1 refused by the engine, 1 without an answer" in output
    status, output = job.finish()
    assert status == 75
    assert "1 of 3 requests failed in the engine, the first in line 2" in output
    assert [one["response"]["status_code"] for one in job.found()] == [400, 500, 200]
    job.log.unlink()
    job.write([REFUSES, "b", "a"])
    assert job.run()[0] == 0
    assert job.asked() == ["b"]
    assert job.finish()[0] == 0
    assert [one["response"]["status_code"] for one in job.found()] == [400, 200, 200]


def test_an_engine_that_only_fails_ends_the_job(tmp_path: Path) -> None:
    job = Job(tmp_path, [FAILS] * 200)
    status, output = job.run()
    assert status == 70
    assert "The engine failed 20 requests in a row, the last with: EngineCore encountered an issue." in output


def test_stopped_it_ends_the_engine_and_says_where_it_goes_on(tmp_path: Path) -> None:
    job = Job(tmp_path, ["a", IS_SLOW, IS_SLOW, IS_SLOW, IS_SLOW, "b"])
    process = job.start()
    deadline = time.monotonic() + 30
    while len(job.asked()) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _none = process.communicate(timeout=30)
    assert process.returncode == 143, output
    assert f"stopped; the answers so far are in {job.part()}" in output
    assert left_behind(job) == ""
    assert job.finish()[0] == 75
    assert not job.answers.exists()


def test_tasks_share_the_work(tmp_path: Path) -> None:
    job = Job(tmp_path, [f"p{number}" for number in range(7)])
    processes = [job.start(rank=rank, ranks=3) for rank in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert [len(job.part(f".{rank}").read_text().splitlines()) for rank in range(3)] == [3, 2, 2]
    assert "task 0 of 3: 3 requests, 0 of them answered before." in outputs[0]
    assert job.finish()[0] == 0
    assert [one["custom_id"] for one in job.found()] == [f"r{number}" for number in range(7)]
    assert len(job.asked()) == 7


def test_two_jobs_do_not_write_into_one_file(tmp_path: Path) -> None:
    job = Job(tmp_path, [IS_SLOW])
    first = job.start()
    deadline = time.monotonic() + 30
    while not job.asked() and time.monotonic() < deadline:
        time.sleep(0.05)
    status, output = job.run()
    assert status == 75
    assert f"Another job is writing to {job.part()}" in output
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("{", "is no JSON (", id="no-json"),
        pytest.param("[1]", "is list, not an object", id="no-object"),
        pytest.param('{"method": "POST"}', "has no custom_id (a text)", id="no-id"),
        pytest.param('{"custom_id": "a"}', "has the method None; POST is allowed", id="no-method"),
        pytest.param(
            '{"custom_id": "a", "method": "POST", "url": "http://elsewhere/v1/completions"}',
            "has the url 'http://elsewhere/v1/completions'; it is a path such as /v1/chat/completions",
            id="other-host",
        ),
        pytest.param(
            '{"custom_id": "a", "method": "POST", "url": "/v1/completions"}', "has no body (an object)", id="no-body"
        ),
        pytest.param(
            '{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"stream": true}}',
            "asks for a stream, which a file cannot be",
            id="stream",
        ),
    ],
)
def test_a_line_that_cannot_be_asked(line: str, says: str) -> None:
    (found,) = read_lines([line.encode()])
    assert found.problem.startswith(says)


def test_bad_lines_are_told_before_an_engine_starts(tmp_path: Path) -> None:
    job = Job(tmp_path, ["a", "b"])
    with job.requests.open("a") as file:
        file.write(job.requests.read_text().splitlines()[0] + "\n\n{\n")
    status, output = job.run()
    assert status == 65
    assert "  line 3: custom_id 'r0' is also that of line 1\n  line 5: is no JSON" in output
    assert output.endswith("No engine was started.\n")
    assert job.asked() == []


@pytest.mark.parametrize(("text", "status"), [("", 65), (None, 66)], ids=["empty", "missing"])
def test_no_requests(tmp_path: Path, text: str | None, status: int) -> None:
    job = Job(tmp_path, [])
    if text is None:
        job.requests.unlink()
    assert job.run()[0] == status


def test_the_line_of_progress() -> None:
    tally = Tally(total=1000, done_before=100, began=0.0, answered=200, refused=1, tokens_in=4000, tokens_out=1000)
    assert tally.line(50.0) == (
        "300 of 1000 answered (30.0 %), 4.0 requests/s, 80 tokens/s in, 20 out, 1 refused by the engine, "
        "about 3 min left"
    )
