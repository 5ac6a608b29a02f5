# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real Slurms answered (recorded by tests/record_slurm.py): the same facts out of each command, form and version.

22.05.8 is older than what is supported. It stands for the older forms: plain words and numbers, and JSON that is absent
for one command (scontrol) and broken for another (sacct), so that the text has to do.
"""

from __future__ import annotations

import functools
import json
import re
import typing as t
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import client, parse, parse_text, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.fake_slurm import ACCOUNT, TOOLS

FIXTURES = Path(__file__).parents[3] / "fixtures"
VERSIONS = ["22.05.8", "24.11.5", "26.05.5"]
CONTROLLER = ["squeue.json", "squeue.txt", "scontrol.json", "scontrol.txt"]
ACCOUNTING = ["sacct.json", "sacct.txt"]
KEY = "0123456789abcdef"
NODES = {"gpu1", "gpu2"}


class Facts(t.NamedTuple):
    state: str
    phase: str
    reason: str = ""
    flags: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None


FACTS = {
    "completed": Facts("COMPLETED", states.GONE, exit_code=0),
    "failed": Facts("FAILED", states.GONE, "NonZeroExitCode", exit_code=3),
    "signalled": Facts("FAILED", states.GONE, "RaisedSignal", signal=9),
    "timeout": Facts("TIMEOUT", states.GONE, "TimeLimit", signal=15),
    "cancelled": Facts("CANCELLED", states.GONE, signal=15),
    "cancelled-waiting": Facts("CANCELLED", states.GONE, "BeginTime", exit_code=0),
    "running": Facts("RUNNING", states.RUNNING),
    "odd-paths": Facts("RUNNING", states.RUNNING),
    "het": Facts("RUNNING", states.RUNNING),
    "suspended": Facts("SUSPENDED", states.QUEUED),
    "begin": Facts("PENDING", states.QUEUED, "BeginTime"),
    "held": Facts("PENDING", states.QUEUED, "JobHeldUser"),
    "held-admin": Facts("PENDING", states.QUEUED, "JobHeldAdmin"),
    "dependent": Facts("PENDING", states.QUEUED, "Dependency"),
    "never": Facts("PENDING", states.QUEUED, "DependencyNeverSatisfied"),
    "resources": Facts("PENDING", states.QUEUED, "Resources"),
    "array": Facts("PENDING", states.QUEUED, "JobArrayTaskLimit"),
    "requeued": Facts("PENDING", states.QUEUED, "BeginTime"),
    "requeue-held": Facts("PENDING", states.QUEUED, "job requeued in held state"),
    "special-exit": Facts("PENDING", states.QUEUED, "job requeued in held state", ("SPECIAL_EXIT",)),
}
# What a version or a source tells otherwise, in all its forms.
OTHERWISE: dict[tuple[str, str], dict[str, t.Any]] = {("22.05.8", "signalled"): {"reason": "JobLaunchFailure"}}
# Accounting writes down no reason for an end, and 0:0 for a batch script that Slurm itself ended.
ACCOUNTING_OTHERWISE: dict[str, dict[str, t.Any]] = {
    "failed": {"reason": ""},
    "signalled": {"reason": ""},
    "timeout": {"reason": "", "signal": None, "exit_code": 0},
    "cancelled": {"signal": None, "exit_code": 0},
    "requeued": {"reason": "", "flags": ("REQUEUED",)},
    "requeue-held": {"reason": "", "flags": ("REQUEUED",)},
    "special-exit": {"reason": "", "flags": ("REQUEUED",)},
    "resources": {"reason": ""},
}
# slurmdbd hears of a job when it may start for the first time; of some kinds not all versions then have a record.
NOT_YET_IN_ACCOUNTING = {"begin", "held", "held-admin", "dependent", "never", "array", "cancelled-waiting"}


@functools.cache
def about(version: str) -> dict[str, t.Any]:
    return dict(json.loads((FIXTURES / f"slurm-{version}" / "about.json").read_text("utf-8")))


def ids(version: str) -> dict[str, int]:
    return dict(about(version)["jobs"])


@functools.cache
def told(version: str, source: str) -> dict[int, Job]:
    """The jobs that a source tells of; none where this version has no such answer."""
    folder = FIXTURES / f"slurm-{version}"
    command_name, form = source.split(".")
    jobs: list[Job] = []
    for path in sorted(folder.glob(f"{command_name}-*.{form}" if command_name == "scontrol" else source)):
        text = path.read_text("utf-8")
        if form == "json":
            jobs += parse.jobs_from_json(text)
        elif command_name == "scontrol":
            jobs += parse_text.jobs_from_scontrol(text)
        elif command_name == "squeue":
            jobs += parse_text.jobs_from_squeue(text, about(version)["separator"])
        else:
            jobs += parse_text.jobs_from_sacct(text, about(version)["separator"])
    return {job.job_id: job for job in jobs}


def absent(version: str, source: str) -> bool:
    return version == "22.05.8" and source in ("scontrol.json", "sacct.json")


def answers(sources: list[str]) -> list[tuple[str, str]]:
    return [(version, source) for version in VERSIONS for source in sources if not absent(version, source)]


@pytest.mark.parametrize(("version", "source"), answers(["squeue.json", "squeue.txt"]))
def test_the_queue_has_every_job(version: str, source: str) -> None:
    assert set(ids(version)) == set(FACTS)
    assert set(ids(version).values()) <= set(told(version, source))


def recorded(sources: list[str]) -> list[tuple[str, str, str]]:
    """Each kind in each source that tells of it: scontrol was asked for some only."""
    return [
        (version, source, kind)
        for version, source in answers(sources)
        for kind in FACTS
        if ids(version).get(kind) in told(version, source)
    ]


@pytest.mark.parametrize(("version", "source", "kind"), recorded(CONTROLLER))
def test_the_controller(version: str, source: str, kind: str) -> None:
    job = told(version, source)[ids(version)[kind]]
    expected = FACTS[kind]._replace(**OTHERWISE.get((version, kind), {}))
    if source == "squeue.txt":
        expected = expected._replace(exit_code=None, signal=None)
    assert Facts(job.state, job.phase, job.reason, job.flags, job.exit_code, job.signal) == expected
    assert (job.name, job.user, job.owner, job.key) == ("rec", "vllm", "rec", KEY)
    on_a_node = kind not in NOT_YET_IN_ACCOUNTING and expected.state != "PENDING"
    assert (job.nodes in NODES, job.batch_host in NODES) == (on_a_node, on_a_node)


@pytest.mark.parametrize(("version", "source"), answers(ACCOUNTING))
def test_accounting_has_every_job_that_could_start(version: str, source: str) -> None:
    missing = {kind for kind, job_id in ids(version).items() if job_id not in told(version, source)}
    assert missing <= NOT_YET_IN_ACCOUNTING


@pytest.mark.parametrize(("version", "source", "kind"), recorded(ACCOUNTING))
def test_accounting(version: str, source: str, kind: str) -> None:
    job = told(version, source)[ids(version)[kind]]
    expected = FACTS[kind]._replace(**ACCOUNTING_OTHERWISE.get(kind, {}))
    assert Facts(job.state, job.phase, job.reason, job.flags, job.exit_code, job.signal) == expected
    # A job that has not ended has no comment in accounting yet: its key is in the submit line.
    assert (job.name, job.user, job.owner, job.key) == ("rec", "vllm", "rec", KEY)
    assert job.submit_line.startswith("sbatch --parsable --job-name=rec --comment=llmops:rec:")


@pytest.mark.parametrize(("version", "source"), answers([*CONTROLLER[1:], *ACCOUNTING]))
def test_every_answer_tells_the_same_times_and_group(version: str, source: str) -> None:
    reference = told(version, "squeue.json")
    jobs = told(version, source)
    assert jobs
    for job_id, job in jobs.items():
        seen = reference[job_id]
        # A requeue is a new submission for the controller and none for accounting.
        if source in ACCOUNTING and "REQUEUED" in job.flags:
            continue
        assert (job.submit_time, job.group) == (seen.submit_time, seen.group), job_id
        if job.nodes:
            assert (job.start_time, job.nodes) == (seen.start_time, seen.nodes), job_id
        if job.end_time:
            assert job.end_time == seen.end_time, job_id


@pytest.mark.parametrize(("version", "source"), answers(["scontrol.json", "scontrol.txt", "squeue.json"]))
def test_log_paths(version: str, source: str) -> None:
    jobs = told(version, source)
    folder, running, odd = about(version)["folder"], ids(version)["running"], ids(version)["odd-paths"]
    assert jobs[running].stdout == f"{folder}/rec-{running}.out"
    assert jobs[running].stderr == f"{folder}/{running}.err"
    assert (jobs[running].chdir, jobs[odd].chdir) == (folder, f"{folder}/a b=c WorkDir")
    # An escaped %%j: JSON of 24.11 has it filled in to %j and does not say so, text of 22.05 is wrong by itself.
    wrong = {("24.11.5", "json"): f"100{odd}", ("22.05.8", "txt"): f"100%{odd}"}
    rest = wrong.get((version, source.split(".")[1]), "100%j")
    assert jobs[odd].stdout == f"{folder}/a b=c WorkDir/o ut={odd} {rest}"
    assert jobs[odd].stderr == jobs[odd].stdout


@pytest.mark.parametrize(("version", "source"), answers(ACCOUNTING))
def test_arguments_with_line_breaks_part_no_record(version: str, source: str) -> None:
    job = told(version, source)[ids(version)["running"]]
    assert job.submit_line.endswith("/sleep.sh --port 8000 JobState=FAILED two\nlines ExitCode=1:0")
    assert (job.state, job.chdir) == ("RUNNING", about(version)["folder"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("source", ["squeue.json", "squeue.txt", "scontrol.txt"])
def test_the_parts_of_one_job_are_one_group(version: str, source: str) -> None:
    for kind in ("array", "het"):
        job_id = ids(version)[kind]
        group = [job for job in told(version, source).values() if job.group == job_id]
        assert len(group) == 2, kind
        assert {job.key for job in group} == {KEY}


def test_json_that_an_old_version_gets_wrong_is_no_answer() -> None:
    text = (FIXTURES / "slurm-22.05.8" / "sacct.json").read_text("utf-8")
    with pytest.raises(parse.ParseError, match="Unable to parse time format"):
        parse.jobs_from_json(text)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_controller_that_is_not_there_is_not_a_no(version: str) -> None:
    failures = about(version)["failures"]
    for name in ("squeue-no-controller", "scontrol-no-controller", "sbatch-no-controller"):
        assert failures[name]["rc"] != 0
        assert re.search(client._NOT_HEARD, failures[name]["err"]), failures[name]["err"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["sbatch-no-partition", "sbatch-too-many-gpus", "sbatch-bad-time"])
def test_a_refusal_is_a_no(version: str, name: str) -> None:
    failure = about(version)["failures"][name]
    assert failure["rc"] != 0
    assert not re.search(client._NOT_HEARD, failure["err"]), failure["err"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_is_not_known(version: str) -> None:
    failures = about(version)["failures"]
    for name in ("squeue-unknown-job", "scontrol-unknown-job"):
        assert re.search(client._NO_SUCH_JOB, failures[name]["err"] + failures[name]["out"]), failures[name]
    unknown = failures["scontrol-unknown-job-json"]
    if version == "22.05.8":
        assert re.search(client._NO_JSON, unknown["err"])
    else:
        assert unknown["rc"] == 0


# Slurm 24.11 exits with 0 each time.
@pytest.mark.parametrize(
    ("out", "err", "script"),
    [
        ("#!/bin/sh\n", "", "#!/bin/sh\n"),
        ("", "job script retrieval failed: Invalid job id specified\n", ""),
        ("", "job script retrieval failed: Job script not specified\n", ""),
        ("", "job script retrieval failed: Invalid user id\n", None),
        ("", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", None),
    ],
    ids=["shown", "has-just-ended", "srun", "not-shown", "no-answer"],
)
def test_the_script_of_a_job(out: str, err: str, script: str | None) -> None:
    def runner(argv: list[str], env: Mapping[str, str], cwd: str = "/") -> Completed:
        assert argv == [TOOLS.scontrol, "write", "batch_script", "7", "-"]
        return Completed(tuple(argv), 0, out, err)

    assert client.SlurmClient(TOOLS, ACCOUNT, {}, runner=runner).batch_script(7) == script
