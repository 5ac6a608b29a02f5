# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, parse, parse_text, values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.command import (
    SACCT_FIELDS,
    SEPARATOR,
    SQUEUE_FIELDS,
)

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
        pytest.param("SPECIAL_EXIT", "PENDING", ("SPECIAL_EXIT",), id="bare-flag-of-a-waiting-job"),
        pytest.param("REQUEUED", "PENDING", ("REQUEUED",), id="bare-flag-of-sacct"),
        pytest.param("CONFIGURING", "RUNNING", ("CONFIGURING",), id="bare-flag-of-a-starting-job"),
        pytest.param(None, "UNKNOWN", (), id="nothing"),
    ],
)
def test_read_state(value: t.Any, state: str, flags: tuple[str, ...]) -> None:
    assert values.state(value) == (state, flags)


@pytest.mark.parametrize(
    ("value", "exit_code", "signal"),
    [
        pytest.param(0, 0, None, id="status-0"),
        pytest.param(256, 1, None, id="status-exit-1"),
        pytest.param(9, None, 9, id="status-signal-9"),
        pytest.param({"return_code": 3, "signal": {"signal_id": 0, "name": None}}, 3, None, id="structure-23.02"),
        pytest.param(
            {
                "status": ["SIGNALED"],
                "return_code": {"set": True, "infinite": False, "number": 0},
                "signal": {"id": {"set": True, "infinite": False, "number": 9}, "name": "KILL"},
            },
            None,
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
        shown_id="42",
        state="PENDING",
        reason="Resources",
        batch_host="n/a",
        submit_time="1795000000",
        start_time="N/A",
        user="vllm",
        name="phi3",
        comment="two\x1fparts\nand a second line",
    )
    (job,) = parse_text.jobs_from_squeue(text + "\n")
    assert (job.job_id, job.state, job.reason, job.batch_host, job.start_time) == (42, "PENDING", "Resources", "", None)
    assert job.comment == "two\x1fparts\nand a second line"


def test_a_line_break_in_a_name_makes_no_job() -> None:
    fields = {"state": "RUNNING", "user": "eve", "submit_time": "1795000000"}
    forged = "\x1f".join(["7", "7", "RUNNING", "", "", "", "", "", "vllm", "phi3", COMMENT])
    texts = [
        line(SQUEUE_FIELDS, job_id="1", shown_id="1", name=f"x\n{forged}\n", **fields),
        line(SQUEUE_FIELDS, job_id="2", shown_id="2", name="y", comment="z", **fields),
    ]
    jobs = parse_text.jobs_from_squeue("some plugin's word\n" + "".join(f"{text}\n" for text in texts))
    assert [(job.job_id, job.user, job.name, job.comment) for job in jobs] == [
        (1, "eve", f"x\n{forged}\n", ""),
        (2, "eve", "y", "z"),
    ]


def test_a_separator_is_made_anew_in_each_run() -> None:
    assert len({SEPARATOR, command.new_separator(), command.new_separator()}) == 3
    assert len(SEPARATOR) == 18


def test_half_a_record_is_left_out() -> None:
    whole = line(SQUEUE_FIELDS, job_id="1", shown_id="1", state="RUNNING", name="a")
    assert [job.job_id for job in parse_text.jobs_from_squeue(f"{whole}\n{whole[:40]}")] == [1]
    assert parse_text.jobs_from_squeue("") == []
    assert parse_text.jobs_from_squeue("\n") == []


@pytest.mark.parametrize(
    ("shown_id", "group"), [("42", 42), ("42_7", 42), ("42_[1-3%1]", 42), ("42+1", 42), ("", 43), ("N/A", 43)]
)
def test_the_group_of_a_job(shown_id: str, group: int) -> None:
    text = line(SQUEUE_FIELDS, job_id="43", shown_id=shown_id, state="RUNNING")
    assert parse_text.jobs_from_squeue(text)[0].group == group


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
        submit_line=f"sbatch --comment={COMMENT} /s.sh two\nlines",
    )
    (job,) = parse_text.jobs_from_sacct(text)
    assert (job.state, job.exit_code, job.signal, job.nodes) == ("CANCELLED", None, 15, "")
    assert (job.key, job.submit_line) == ("0123456789abcdef", f"sbatch --comment={COMMENT} /s.sh two\nlines")


@pytest.mark.parametrize("name", ["None", "Unknown", "N/A"])
def test_a_job_may_be_named_like_nothing(name: str) -> None:
    (job,) = parse.jobs_from_json(json.dumps({"jobs": [{"job_id": 1, "name": name, "state_reason": "None"}]}))
    assert (job.name, job.reason) == (name, "")


def test_scontrol_text() -> None:
    text = (
        "JobId=42 JobName=phi3 UserId=vllm(403) GroupId=vllm(403) MCS_label=N/A Priority=1 JobState=FAILED "
        "Reason=NonZeroExitCode Dependency=(null) ExitCode=3:0 NodeList=gpu1 BatchHost=gpu1 "
        "Command=/srv/my script.sh JobState=RUNNING\nExitCode=0:0 WorkDir=/a WorkDir=/home/b c=d "
        f"Comment={COMMENT} StdErr=/home/vllm/slurm-42.out StdIn=/dev/null StdOut=/home/vllm/slurm-42.out "
        "TresPerNode=gres/gpu:1\n\n"
    )
    (job,) = parse_text.jobs_from_scontrol(text)
    assert (job.job_id, job.user, job.state, job.exit_code, job.reason) == (42, "vllm", "FAILED", 3, "NonZeroExitCode")
    assert (job.batch_host, job.comment, job.stdout) == ("gpu1", COMMENT, "/home/vllm/slurm-42.out")
    assert job.chdir == "/home/b c=d"


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
