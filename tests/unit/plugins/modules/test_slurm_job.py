# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pwd
import typing as t
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import connect, lock, manage, wait
from ansible_collections.llmops.cluster.plugins.modules import slurm_job, slurm_job_info
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.fake_slurm import ACCOUNT, FakeSlurm

SCRIPT = "#!/bin/sh\nexec sleep 1\n"


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm()
    monkeypatch.setattr(connect, "open_client", lambda module, account: fake.client())
    monkeypatch.setattr(connect, "find_account", lambda user: ACCOUNT)
    monkeypatch.setattr(connect, "slurm_is_here", lambda module: True)
    monkeypatch.setattr(connect, "script_file", lambda name, content, account: nullcontext("/tmp/generated.sh"))
    times: dict[str, t.Any] = {"clock": lambda: fake.clock, "sleep": fake.sleep}
    times["now"] = lambda: fake.clock
    monkeypatch.setattr(wait, "JobWatch", partial(wait.JobWatch, **times))
    monkeypatch.setattr(manage, "JobManager", partial(manage.JobManager, **times))
    monkeypatch.setattr(lock, "job_locks", lambda paths, what: nullcontext())
    return fake


def run(module: t.Any, capsys: pytest.CaptureFixture[str], args: dict[str, t.Any]) -> dict[str, t.Any]:
    with patch_module_args(args), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


def test_submit_and_again(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    args = {"name": "phi3", "script_content": SCRIPT, "args": ["a b"], "options": {"gres": "gpu:1"}, "state": "running"}
    first = run(slurm_job, capsys, args)
    key = first["key"]
    assert {name: first[name] for name in first if name not in ("invocation", "diff")} == {
        "batch_host": "gpu1",
        "cancelled_job_ids": [],
        "changed": True,
        "exit_code": None,
        "foreign_jobs": [],
        "job_id": 1,
        "job_state": "RUNNING",
        "key": key,
        "msg": "The job phi3 was submitted.",
        "nodes": "gpu1",
        "reason": "",
        "replaced_job_id": None,
        "signal": None,
        "stderr": "/home/vllm/slurm-1.out",
        "stdout": "/home/vllm/slurm-1.out",
        "submit_line": [
            "sbatch",
            "--parsable",
            "--job-name=phi3",
            f"--comment=llmops:phi3:{key}",
            "--chdir=/home/vllm",
            "--export=ALL",
            "--gres=gpu:1",
            "(script_content)",
            "a b",
        ],
    }
    assert first["diff"]["after"].endswith("script:\n  #!/bin/sh\n  exec sleep 1\n")
    second = run(slurm_job, capsys, args)
    assert (second["changed"], second["job_id"], second["key"]) == (False, 1, key)


@pytest.mark.parametrize("state", ["submitted", "running"])
@pytest.mark.parametrize("check", [False, True])
def test_a_job_as_wanted_costs_one_question_and_no_manager(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str, check: bool
) -> None:
    args = {"name": "phi3", "script_content": SCRIPT, "state": state}
    first = run(slurm_job, capsys, args)
    monkeypatch.setattr(manage, "JobManager", lambda *args, **options: pytest.fail("nothing was left to do"))
    slurm.calls.clear()
    second = run(slurm_job, capsys, {**args, "_ansible_check_mode": check})
    assert (second["changed"], second["msg"]) == (False, "Job 1 (phi3) on gpu1 is as wanted.")
    assert {**second, "invocation": None, "changed": True, "msg": first["msg"], "diff": first["diff"]} == {
        **first,
        "invocation": None,
    }
    assert [argv[:2] for argv in slurm.calls] == [["squeue", "--json"]]


def test_a_host_that_is_wrong_about_its_cluster_replaces_nothing(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"name": "phi3", "script_content": SCRIPT}
    first = run(slurm_job, capsys, args)
    slurm.told_cluster = "of-another-host"
    second = run(slurm_job, capsys, args)
    assert (second["changed"], second["job_id"], second["key"]) == (False, 1, first["key"])
    assert (len(slurm.live()), slurm.called("scancel")) == (1, [])


def test_no_secret_comes_back(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    args = {
        "name": "phi3",
        "script_content": SCRIPT,
        "args": ["--api-key", "very-secret-1"],
        "environment": {"API_KEY": "very-secret-2", "THREADS": "1"},
    }
    answer = run(slurm_job, capsys, args)
    assert slurm.jobs[0].environment["API_KEY"] == "very-secret-2"
    assert "very-secret-2" not in json.dumps(answer)
    assert answer["submit_line"][-2:] == ["--api-key", "********"]
    assert answer["job_id"] == 1
    assert answer["msg"] == "The job phi3 was submitted."


def test_a_script_on_the_host(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(SCRIPT, "utf-8")
    answer = run(slurm_job, capsys, {"name": "phi3", "script": str(script)})
    assert answer["submit_line"][-1] == str(script)
    script.write_text(SCRIPT + "true\n", "utf-8")
    assert run(slurm_job, capsys, {"name": "phi3", "script": str(script)})["replaced_job_id"] == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param({}, "one of the following is required: name, jobs", id="no-name"),
        pytest.param(
            {"name": "a"},
            "The job a has no script. Give script or script_content, for state=submitted.",
            id="no-script",
        ),
        pytest.param(
            {"name": "a", "script": "/x", "script_content": SCRIPT},
            "parameters are mutually exclusive: script|script_content",
            id="two-scripts",
        ),
        pytest.param({"name": "a", "script": "x.sh"}, "script 'x.sh' is not an absolute path.", id="relative-script"),
        pytest.param(
            {"name": "a", "script": "/nowhere/x.sh"},
            "Reading the script /nowhere/x.sh failed: No such file or directory. It must be on the host.",
            id="no-such-script",
        ),
        pytest.param(
            {"name": "a", "script_content": SCRIPT, "queue_timeout": -1},
            "queue_timeout is -1. Give 0 or more seconds.",
            id="negative-timeout",
        ),
        pytest.param(
            {"name": "a", "script_content": SCRIPT, "poll_interval": 0.1},
            "poll_interval is 0.1. Give at least 0.2 seconds.",
            id="hasty",
        ),
        pytest.param(
            {"jobs": [{"name": "a"}, {"name": "b"}, {"name": "a"}], "state": "absent"},
            "jobs has a more than once. Each job needs a name of its own.",
            id="one-name-twice",
        ),
        pytest.param(
            {"name": "a", "jobs": [{"name": "a"}], "state": "absent"},
            "parameters are mutually exclusive: name|jobs",
            id="name-and-jobs",
        ),
        pytest.param(
            {"name": "a b", "state": "absent"},
            "name 'a b' cannot be the name of a job. Allowed are 1 to 128 letters, digits and . _ + -, "
            "not beginning with . + or -.",
            id="bad-name",
        ),
    ],
)
def test_bad_input(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str], args: dict[str, t.Any], message: str) -> None:
    answer = run(slurm_job, capsys, args)
    assert answer["failed"] is True
    assert answer["msg"] == message
    assert slurm.calls == []


def test_a_failure_still_has_the_job(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.life = [(0, {"state": ["FAILED"], "exit_code": 2, "nodes": "gpu1"})]
    answer = run(slurm_job, capsys, {"name": "a", "script_content": SCRIPT, "state": "running"})
    assert (answer["failed"], answer["job_id"], answer["job_state"], answer["exit_code"]) == (True, 1, "FAILED", 2)


def test_a_list_of_jobs(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    args = {
        "jobs": [
            {"name": "a", "args": ["1"], "environment": {"API_KEY": "very-secret-1"}},
            {"name": "b", "script_content": "#!/bin/sh\nfalse\n", "options": {"gres": "gpu:2"}},
        ],
        "script_content": SCRIPT,
        "options": {"gres": "gpu:1", "time": "60"},
        "environment": {"THREADS": "1"},
    }
    answer = run(slurm_job, capsys, args)
    assert (answer["changed"], answer["msg"]) == (True, "2 jobs are as wanted, 2 of them changed.")
    assert [(job["name"], job["job_id"], job["changed"]) for job in answer["jobs"]] == [("a", 1, True), ("b", 2, True)]
    assert "--gres=gpu:1" in answer["jobs"][0]["submit_line"]
    assert {"--gres=gpu:2", "--time=60"} <= set(answer["jobs"][1]["submit_line"])
    assert [job.environment.get("API_KEY") for job in slurm.jobs] == ["very-secret-1", None]
    assert [job.environment["THREADS"] for job in slurm.jobs] == ["1", "1"]
    assert "very-secret-1" not in json.dumps(answer)
    assert len(answer["diff"]) == 2
    assert run(slurm_job, capsys, args)["changed"] is False
    gone = run(slurm_job, capsys, {"jobs": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "state": "absent"})
    assert [job["changed"] for job in gone["jobs"]] == [True, True, False]


def test_of_a_list_each_failure_is_told(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.life = [(0, {"state": ["FAILED"], "exit_code": 2, "nodes": "gpu1"})]
    jobs = [{"name": "a", "script_content": SCRIPT}, {"name": "b", "script_content": SCRIPT}]
    answer = run(slurm_job, capsys, {"jobs": jobs, "state": "completed"})
    assert answer["failed"] is True
    assert answer["msg"].splitlines()[0] == "2 of 2 jobs failed."
    assert [(job["exit_code"], job["failed"], job["changed"]) for job in answer["jobs"]] == [(2, True, True)] * 2


def test_an_empty_list_is_nothing_to_do(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(slurm_job, capsys, {"jobs": []})
    assert (answer["changed"], answer["jobs"]) == (False, [])
    assert slurm.calls == []


def test_absent(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    run(slurm_job, capsys, {"name": "a", "script_content": SCRIPT})
    gone = run(slurm_job, capsys, {"name": "a", "state": "absent"})
    assert (gone["changed"], gone["cancelled_job_ids"], gone["job_state"]) == (True, [1], "CANCELLED")
    again = run(slurm_job, capsys, {"name": "a", "state": "absent"})
    assert (again["changed"], again["job_id"]) == (False, None)


@pytest.mark.parametrize(
    ("args", "here", "message"),
    [
        pytest.param(
            {"script": "/nowhere/x.sh"},
            True,
            "Check mode: the script /nowhere/x.sh is not on this host yet, so Slurm was not asked.",
            id="no-script-yet",
        ),
        pytest.param(
            {"script_content": SCRIPT},
            False,
            "Check mode: Slurm's commands are not on this host yet, so Slurm was not asked.",
            id="no-slurm-yet",
        ),
    ],
)
def test_check_mode_before_earlier_tasks_have_run(
    slurm: FakeSlurm,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: dict[str, t.Any],
    here: bool,
    message: str,
) -> None:
    monkeypatch.setattr(connect, "slurm_is_here", lambda module: here)
    answer = run(slurm_job, capsys, {"name": "a", "_ansible_check_mode": True, **args})
    assert (answer["changed"], answer["msg"]) == (True, message)
    assert slurm.calls == []


def test_info(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(slurm_job_info, capsys, {"name": "a"})["jobs"] == []
    made = run(slurm_job, capsys, {"name": "a", "script_content": SCRIPT})
    slurm.add("b", "", life=[(0, {"state": ["COMPLETED"]})])
    slurm.add("b", "", user="other")

    def ids(**args: t.Any) -> list[int]:
        answer = run(slurm_job_info, capsys, args)
        assert answer["changed"] is False
        return [job["job_id"] for job in answer["jobs"]]

    assert ids() == [1, 3]
    assert ids(name="a") == [1]
    assert ids(user="other") == [3]
    assert ids(job_ids=[2, 3, 99]) == [3]
    assert ids(job_id=[2, 99], include_ended=True) == [2]
    assert ids(name="b", include_ended=True) == [2, 3]
    (job,) = run(slurm_job_info, capsys, {"name": "a"})["jobs"]
    shared = ("job_id", "job_state", "nodes", "batch_host", "key", "exit_code", "stdout", "stderr", "reason")
    assert {name: job[name] for name in shared} == {name: made[name] for name in shared}


def test_info_does_not_read_all_of_accounting(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(slurm_job_info, capsys, {"include_ended": True})
    assert answer["msg"] == (
        "include_ended is true without name, user or job_id. Give one of them: accounting holds years."
    )


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(connect.SpecError) as caught:
        connect.find_account("nobody-of-this-name")
    assert caught.value.message == (
        "There is no user 'nobody-of-this-name' on this host. Make the account first, with the same uid on every host."
    )


def test_another_user_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect.os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    with pytest.raises(connect.SpecError) as caught:
        connect.find_account("daemon")
    assert caught.value.message == (
        "Acting as the user daemon failed: this module runs as nobody. "
        "Use become with root or daemon, or leave out the option user."
    )


def test_a_script_given_as_text_is_the_users_own() -> None:
    account = connect.find_account(None)
    with connect.script_file("phi3", SCRIPT, account) as path:
        file = Path(path)
        assert (file.name, file.read_text("utf-8"), oct(file.stat().st_mode)) == ("phi3.sh", SCRIPT, "0o100600")
    assert not file.parent.exists()


def test_the_id_of_an_array_is_that_of_the_whole(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    """A task has an id of its own as soon as it starts, and `afterok` of that waits for one task only."""
    args = {"name": "sweep", "script_content": SCRIPT, "options": {"array": "0-1"}}
    key = run(slurm_job, capsys, {**args, "_ansible_check_mode": True})["key"]
    for number in (8, 9):
        slurm.add("sweep", f"llmops:sweep:{key}", array_job_id=7, array_task_id=number)
    found = run(slurm_job, capsys, args)
    assert (found["changed"], found["job_id"]) == (False, 7)
    replaced = run(slurm_job, capsys, {**args, "args": ["more"], "_ansible_check_mode": True})
    assert (replaced["replaced_job_id"], replaced["cancelled_job_ids"]) == (7, [7])
