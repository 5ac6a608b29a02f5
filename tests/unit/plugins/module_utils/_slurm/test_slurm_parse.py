# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import parse
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.command import (
    SACCT_FIELDS,
    SEPARATOR,
    SQUEUE_FIELDS,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

FIXTURES = Path(__file__).parents[3] / "fixtures"
COMMENT = "llmops:phi3:0123456789abcdef"


def test_json_with_states_as_words_and_plain_numbers() -> None:
    running, failed = parse.jobs_from_json((FIXTURES / "slurm-23.02-handwritten" / "squeue.json").read_text("utf-8"))
    assert running.facts() == {
        "job_id": 11,
        "name": "vllm-serve-phi3",
        "user": "vllm",
        "job_state": "RUNNING",
        "state_flags": [],
        "reason": "",
        "comment": "llmops:vllm-serve-phi3:0123456789abcdef",
        "key": "0123456789abcdef",
        "nodes": "gpu1",
        "batch_host": "gpu1",
        "submit_time": 1795000000,
        "start_time": 1795000005,
        "end_time": None,
        "exit_code": None,
        "signal": None,
        "stdout": "/home/vllm/slurm-11.out",
        "stderr": "/home/vllm/slurm-11.out",
        "chdir": "/home/vllm",
        "submit_line": [],
        "array_task_id": None,
    }
    # A plain number is a wait status: 127 << 8.
    assert (failed.exit_code, failed.signal, failed.end_time) == (127, None, None)
    assert (failed.stdout, failed.stderr) == ("/home/vllm/slurm-12.out", "/home/vllm/slurm-12.err")


@pytest.mark.parametrize(
    ("value", "state", "flags"),
    [
        pytest.param("RUNNING", "RUNNING", (), id="word"),
        pytest.param(["RUNNING"], "RUNNING", (), id="list"),
        pytest.param(["COMPLETING", "CANCELLED"], "CANCELLED", ("COMPLETING",), id="flag-first"),
        pytest.param(["RUNNING", "CONFIGURING"], "RUNNING", ("CONFIGURING",), id="flag-last"),
        pytest.param("RUNNING CONFIGURING", "RUNNING", ("CONFIGURING",), id="two-words"),
        pytest.param({"current": ["FAILED"], "reason": "None"}, "FAILED", (), id="sacct"),
        pytest.param({"current": "FAILED", "reason": "None"}, "FAILED", (), id="sacct-23.02"),
        pytest.param("COMPLETING", "COMPLETING", (), id="bare-flag"),
        pytest.param(None, "UNKNOWN", (), id="nothing"),
    ],
)
def test_read_state(value: t.Any, state: str, flags: tuple[str, ...]) -> None:
    assert parse.read_state(value) == (state, flags)


@pytest.mark.parametrize(
    ("value", "exit_code", "signal"),
    [
        pytest.param(0, 0, None, id="status-0"),
        pytest.param(256, 1, None, id="status-exit-1"),
        pytest.param(9, 0, 9, id="status-signal-9"),
        pytest.param({"return_code": 3, "signal": {"signal_id": 0, "name": None}}, 3, None, id="structure-23.02"),
        pytest.param(
            {
                "status": ["SIGNALED"],
                "return_code": {"set": True, "infinite": False, "number": 0},
                "signal": {"id": {"set": True, "infinite": False, "number": 9}, "name": "KILL"},
            },
            0,
            9,
            id="structure-24.11",
        ),
    ],
)
def test_exit_codes(value: t.Any, exit_code: int | None, signal: int | None) -> None:
    text = json.dumps({"jobs": [{"job_id": 1, "job_state": ["FAILED"], "exit_code": value}]})
    job = parse.jobs_from_json(text)[0]
    assert (job.exit_code, job.signal) == (exit_code, signal)


def test_sacct_json_finds_the_comment_in_the_submit_line() -> None:
    record = {
        "job_id": 7,
        "name": "phi3",
        "user": "vllm",
        "state": {"current": ["COMPLETED"], "reason": "None"},
        "comment": {"administrator": "", "job": "", "system": ""},
        "submit_line": f"sbatch --parsable --comment={COMMENT} --chdir=/ /s.sh",
        "time": {"submission": 5, "start": 6, "end": 7},
        "array": {"job_id": 3},
    }
    job = parse.jobs_from_json(json.dumps({"jobs": [record]}))[0]
    assert (job.comment, job.key, job.submit_time, job.end_time, job.group) == (COMMENT, "0123456789abcdef", 5, 7, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("squeue: error: something", "no JSON (Expecting value", id="no-json"),
        pytest.param("[]", "no list of jobs in the JSON", id="list"),
        pytest.param('{"jobs": null}', "no list of jobs in the JSON", id="no-jobs"),
        pytest.param(
            '{"jobs": [], "errors": [{"description": "Unable to query jobs"}]}',
            "errors reported in the JSON: Unable to query jobs",
            id="errors",
        ),
    ],
)
def test_json_that_is_no_answer(text: str, message: str) -> None:
    with pytest.raises(parse.ParseError) as caught:
        parse.jobs_from_json(text)
    assert str(caught.value).startswith(message)


def line(fields: dict[str, str], **values: str) -> str:
    return SEPARATOR.join(values.get(name, "") for name in fields)


def test_squeue_text() -> None:
    text = line(
        SQUEUE_FIELDS,
        job_id="42",
        array_job_id="42",
        state="PENDING",
        reason="Resources",
        batch_host="n/a",
        submit_time="1795000000",
        start_time="N/A",
        user="vllm",
        name="phi3",
        comment=f"two{SEPARATOR}parts\nand a second line",
    )
    jobs = parse.jobs_from_squeue_text(text + "\n")
    assert len(jobs) == 1
    job = jobs[0]
    assert (job.job_id, job.state, job.reason, job.batch_host, job.start_time) == (42, "PENDING", "Resources", "", None)
    assert job.comment == f"two{SEPARATOR}parts"


def test_sacct_text() -> None:
    text = line(
        SACCT_FIELDS,
        job_id="42",
        state="CANCELLED by 0",
        exit_code="0:15",
        nodes="None assigned",
        user="vllm",
        name="phi3",
        end_time="1795000000",
        submit_line=f"sbatch --comment={COMMENT} /s.sh",
    )
    job = parse.jobs_from_sacct_text(text)[0]
    assert (job.state, job.exit_code, job.signal, job.nodes, job.key) == ("CANCELLED", 0, 15, "", "0123456789abcdef")


def test_scontrol_text() -> None:
    text = (
        "JobId=42 JobName=phi3 UserId=vllm(403) GroupId=vllm(403) MCS_label=N/A Priority=1 JobState=FAILED "
        "Reason=NonZeroExitCode Dependency=(null) ExitCode=3:0 NodeList=gpu1 BatchHost=gpu1 "
        f"Command=/srv/my script.sh WorkDir=/home/vllm Comment={COMMENT} StdErr=/home/vllm/slurm-42.out "
        "StdIn=/dev/null StdOut=/home/vllm/slurm-42.out\n\n"
    )
    (job,) = parse.jobs_from_scontrol_text(text)
    assert (job.job_id, job.user, job.state, job.exit_code, job.reason) == (42, "vllm", "FAILED", 3, "NonZeroExitCode")
    assert (job.batch_host, job.comment, job.stdout) == ("gpu1", COMMENT, "/home/vllm/slurm-42.out")


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        ("42\n", 42),
        ("42;lab\n", 42),
        ("sbatch: some notice\n42\n", 42),
        ("Submitted batch job 42\n", None),
        ("0\n", None),
        ("", None),
    ],
)
def test_submitted_job_id(text: str, job_id: int | None) -> None:
    assert parse.submitted_job_id(text) == job_id


def test_cluster_name() -> None:
    assert parse.cluster_name("Configuration data\nClusterName             = lab\nX = y\n") == "lab"
    assert parse.cluster_name("no such line") is None


# Recorded from 24.11.5: one running job, two waiting (one of them an array), and four that ended.
RECORDED = FIXTURES / "slurm-24.11.5"
RECORDED_KEY = "0123456789abcdef"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text("utf-8")


def by_id(jobs: list[Job]) -> dict[int, Job]:
    return {job.job_id: job for job in jobs}


def test_recorded_squeue_json() -> None:
    jobs = by_id(parse.jobs_from_json(recorded("squeue.json")))
    assert {job_id: (job.state, job.phase, job.reason) for job_id, job in jobs.items()} == {
        11: ("RUNNING", "running", ""),
        12: ("PENDING", "queued", "Resources"),
        15: ("FAILED", "ended", "RaisedSignal"),
        19: ("PENDING", "queued", "Priority"),
    }
    running = jobs[11]
    assert (running.name, running.user, running.key) == ("rec", "vllm", RECORDED_KEY)
    assert (running.nodes, running.batch_host, running.exit_code) == ("gpu1", "gpu1", None)
    assert (running.stdout, running.stderr) == ("/home/vllm/rec-11.out", "/home/vllm/11.err")
    assert (jobs[15].exit_code, jobs[15].signal) == (None, 9)
    assert [job.group for job in jobs.values()] == [11, 12, 15, 19]


def test_recorded_scontrol_json() -> None:
    (job,) = parse.jobs_from_json(recorded("scontrol-running.json"))
    assert job == by_id(parse.jobs_from_json(recorded("squeue.json")))[11]
    assert parse.jobs_from_json(recorded("scontrol-unknown-job.json")) == []


def test_recorded_squeue_text_agrees_with_the_json() -> None:
    text = by_id(parse.jobs_from_squeue_text(recorded("squeue.txt")))
    for job_id, job in by_id(parse.jobs_from_json(recorded("squeue.json"))).items():
        seen = text[job_id]
        assert (seen.state, seen.key, seen.nodes, seen.submit_time) == (job.state, job.key, job.nodes, job.submit_time)
    assert text[18].reason.startswith("Nodes required for job are DOWN, DRAINED")


@pytest.mark.parametrize(
    ("job_id", "state", "exit_code", "signal"),
    [
        pytest.param(11, "RUNNING", None, None, id="running"),
        pytest.param(14, "FAILED", 3, None, id="exit-3"),
        pytest.param(16, "COMPLETED", 0, None, id="completed"),
        pytest.param(17, "CANCELLED", 0, None, id="cancelled"),
        pytest.param(19, "PENDING", None, None, id="array"),
    ],
)
def test_recorded_sacct_says_the_same_in_json_and_text(
    job_id: int, state: str, exit_code: int | None, signal: int | None
) -> None:
    for jobs in (parse.jobs_from_json(recorded("sacct.json")), parse.jobs_from_sacct_text(recorded("sacct.txt"))):
        job = by_id(jobs)[job_id]
        assert (job.state, job.exit_code, job.signal) == (state, exit_code, signal)
        # A job that has not ended has no comment in accounting yet: its key is in the submit line.
        assert (job.name, job.user, job.key) == ("rec", "vllm", RECORDED_KEY)
        assert job.submit_line.startswith("sbatch --parsable --chdir=/home/vllm")


def test_recorded_sacct_signal() -> None:
    for jobs in (parse.jobs_from_json(recorded("sacct.json")), parse.jobs_from_sacct_text(recorded("sacct.txt"))):
        assert by_id(jobs)[15].signal == 9


def test_recorded_sacct_expands_log_paths() -> None:
    jobs = by_id(parse.jobs_from_json(recorded("sacct.json")))
    assert (jobs[11].stdout, jobs[11].stderr) == ("/home/vllm/rec-11.out", "/home/vllm/11.err")
    assert jobs[16].stderr == "/home/vllm/slurm-16.out"


@pytest.mark.parametrize(
    ("file", "state", "exit_code", "signal", "reason"),
    [
        pytest.param("scontrol-running.txt", "RUNNING", None, None, "", id="running"),
        pytest.param("scontrol-failed.txt", "FAILED", 3, None, "NonZeroExitCode", id="failed"),
        pytest.param("scontrol-signalled.txt", "FAILED", 0, 9, "RaisedSignal:9(Killed)", id="signalled"),
    ],
)
def test_recorded_scontrol_text(file: str, state: str, exit_code: int | None, signal: int | None, reason: str) -> None:
    (job,) = parse.jobs_from_scontrol_text(recorded(file))
    assert (job.state, job.exit_code, job.signal, job.reason) == (state, exit_code, signal, reason)
    assert (job.user, job.key, job.chdir) == ("vllm", RECORDED_KEY, "/home/vllm")
    assert job.stdout.startswith("/home/vllm/")
