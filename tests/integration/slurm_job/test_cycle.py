"""A job through slurm_job on a real Slurm: made, changed, gone; each step in check mode first, and each twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster

NAME = "cycle"
SLEEP = "#!/bin/sh\nexec sleep 600\n"
OPTIONS = {"partition": "gpu", "time": "10", "mem": "10M"}
GONE = {"name": NAME, "state": "absent"}


class Task:
    """One task of the module, run as a user's playbook would."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder

    def __call__(self, wanted: dict[str, Any], *, check: bool = False, fails: bool = False) -> dict[str, Any]:
        options = {"user": "vllm", **wanted, "options": {**OPTIONS, **wanted.get("options", {})}}
        result = self._folder / "result.json"
        result.unlink(missing_ok=True)
        copy = {"content": "{{ result | to_json }}", "dest": str(result)}
        tasks = [
            {"llmops.cluster.slurm_job": options, "register": "result", "ignore_errors": True},
            {"ansible.builtin.copy": copy, "delegate_to": "localhost", "become": False, "check_mode": False},
        ]
        play = {"hosts": "ctl", "become": True, "gather_facts": False, "tasks": tasks}
        book = self._folder / "task.yml"
        book.write_text(yaml.safe_dump([play]))
        done = self._cluster.play(str(book), *(["--check", "--diff"] if check else []))
        assert done.rc == 0, done.output
        found: dict[str, Any] = json.loads(result.read_text())
        assert found.get("failed", False) == fails, found
        return found


@pytest.fixture
def task(site: Cluster, tmp_path: Path) -> Task:
    return Task(site, tmp_path)


def live(site: Cluster, name: str = NAME) -> list[str]:
    return site.jobs("%i", f"--name={name}")


def test_made_changed_and_gone(site: Cluster, task: Task) -> None:
    wanted = {"name": NAME, "script_content": SLEEP, "state": "running"}

    foreseen = task(wanted, check=True)
    assert foreseen["changed"]
    assert "Slurm would accept it" in foreseen["msg"]
    assert live(site) == []
    made = task({**wanted, "confirm": "accepted"})
    assert (made["changed"], made["job_state"]) == (True, "RUNNING")
    assert live(site) == [str(made["job_id"])]
    again = task(wanted)
    assert (again["changed"], again["job_id"]) == (False, made["job_id"])

    changed = {**wanted, "options": {"time": "11"}}
    foreseen = task(changed, check=True)
    assert (foreseen["changed"], foreseen["replaced_job_id"]) == (True, made["job_id"])
    assert "--time=10" in foreseen["diff"]["before"]
    assert "--time=11" in foreseen["diff"]["after"]
    assert live(site) == [str(made["job_id"])]
    refused = task({**changed, "on_change": "fail"}, fails=True)
    assert "on_change is fail" in refused["msg"]
    kept = task({**changed, "on_change": "keep"})
    assert (kept["changed"], kept["job_id"]) == (False, made["job_id"])
    replaced = task(changed)
    assert (replaced["changed"], replaced["replaced_job_id"]) == (True, made["job_id"])
    assert live(site) == [str(replaced["job_id"])]
    assert task(changed)["changed"] is False

    foreseen = task(GONE, check=True)
    assert (foreseen["changed"], foreseen["cancelled_job_ids"]) == (True, [replaced["job_id"]])
    assert live(site) == [str(replaced["job_id"])]
    gone = task(GONE)
    assert (gone["changed"], gone["job_state"]) == (True, "CANCELLED")
    assert live(site) == []
    assert task(GONE)["changed"] is False


def test_a_job_that_slurm_would_refuse_fails_in_check_mode_too(site: Cluster, task: Task) -> None:
    wanted = {"name": NAME, "script_content": SLEEP, "options": {"partition": "nowhere"}}
    assert "invalid partition" in task(wanted, check=True, fails=True)["msg"]
    assert "invalid partition" in task(wanted, fails=True)["msg"]
    assert live(site) == []


def test_a_list_an_array_and_one_that_waits_for_another(site: Cluster, task: Task) -> None:
    stamp = {"RUN": str(site.run("ctl", "date +%s%N").strip())}
    script = '#!/bin/sh\ntest "${SLURM_ARRAY_TASK_ID:-0}" != "$FAILS"\n'
    jobs = [
        {"name": "cycle-one", "environment": stamp},
        {"name": "cycle-array", "environment": stamp, "options": {"array": "0-3%2"}},
        {"name": "cycle-bad", "environment": {**stamp, "FAILS": "2"}, "options": {"array": "0-3"}},
    ]
    wanted = {"jobs": jobs, "script_content": script, "state": "completed", "poll_interval": 0.5}
    done = task(wanted, fails=True)
    one, array, bad = done["jobs"]
    assert [(job["changed"], job.get("failed", False)) for job in (one, array, bad)] == [
        (True, False),
        (True, False),
        (True, True),
    ]
    assert sorted(found["array_task_id"] for found in array["tasks"]) == [0, 1, 2, 3]
    assert "1 of its 4 tasks did not succeed; task 2 ended as FAILED (exit code 1)" in bad["msg"]
    again = task({**wanted, "jobs": jobs[:2]})
    assert [job["changed"] for job in again["jobs"]] == [False, False]

    after = {"name": "cycle-after", "script_content": script, "environment": stamp}
    assert task({**after, "options": {"dependency": f"afterok:{one['job_id']}"}})["changed"]
    never = {"name": "cycle-never", "script_content": script, "options": {"dependency": f"afterok:{bad['job_id']}"}}
    hopeless = task({**never, "state": "running"}, fails=True)
    assert "it can never start (Slurm's reason: DependencyNeverSatisfied)" in hopeless["msg"]
    assert task({"name": "cycle-never", "state": "absent"})["changed"]


@pytest.mark.parametrize("option", [{"mem": 99_999_999}, {"gres": "gpu:99"}, {"cpus-per-task": 9999}])
def test_what_no_node_can_run_is_refused_each_time(site: Cluster, task: Task, option: dict[str, Any]) -> None:
    """slurmctld turns it away, and remembers a job of this key that failed all the same."""
    wanted = {"name": "too-big", "script_content": SLEEP, "options": option}
    for check in (True, False, False):
        refused = task(wanted, check=check, fails=True)
        assert not refused["changed"]
        assert "the job too-big of vllm failed: " in refused["msg"]
        assert "Requested node configuration is not available" in refused["msg"]
    both = task({"jobs": [{"name": NAME}, {"name": "too-big", "options": option}], "script_content": SLEEP}, fails=True)
    assert [bool(job.get("job_id")) for job in both["jobs"]] == [True, False]
    task(GONE)
