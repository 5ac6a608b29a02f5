"""Jobs of two users and two accounts: who may run, what holds them back, and what sacct and sreport say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.integration.slurm_accounting.conftest import Task

SHORT = {"partition": "gpu", "time": "10", "mem": "10M", "gres": "gpu:1"}
DECLARED: dict[str, Any] = {
    "slurm_qos": [{"name": "jobs-urgent", "priority": 1000}],
    "slurm_accounts": [
        {"name": "jobs-all", "fairshare": 10},
        {"name": "jobs-physics", "parent": "jobs-all", "fairshare": 3, "qos": ["normal", "jobs-urgent"]},
        {"name": "jobs-chemistry", "parent": "jobs-all", "limits": {"grp_tres": {"gres/gpu": 1}, "max_submit_jobs": 2}},
    ],
    "slurm_users": [
        {"name": "ada", "accounts": ["jobs-physics"]},
        {"name": "ben", "default_account": "jobs-chemistry", "accounts": ["jobs-chemistry", "jobs-physics"]},
    ],
}


@pytest.fixture(scope="module")
def accounts(people: Cluster) -> Iterator[Cluster]:
    """The declaration given to the role, and taken away again."""
    book = "playbooks/deploy_slurm.yml"
    given = ["-e", json.dumps(DECLARED)]
    first = people.play(book, *given)
    assert first.rc == 0, first.output[-4000:]
    again = people.play(book, *given)
    assert (again.rc, again.changed) == (0, 0), again.output[-4000:]
    yield people
    people.run("ctl", "scancel --user=ada; scancel --user=ben; sleep 2")
    last = people.play(book, "-e", '{"slurm_accounting_purge": true, "slurm_service_users": []}')
    assert last.rc == 0, last.output[-4000:]
    assert people.play(book).rc == 0


@pytest.fixture
def job(accounts: Cluster, task: Task) -> Callable[..., dict[str, Any]]:
    def run(user: str, name: str, *, fails: bool = False, state: str = "completed", **options: Any) -> dict[str, Any]:
        script = "#!/bin/sh\nsleep 600\n" if state != "completed" else "#!/bin/sh\nsleep 3\n"
        wanted = {"name": name, "user": user, "script_content": script, "chdir": "/tmp", "state": state}
        stamp = {"RUN": str(time.time_ns())}
        return task("slurm_job", {**wanted, "environment": stamp, "options": {**SHORT, **options}}, fails=fails)

    return run


def reason(cluster: Cluster, job_id: int) -> str:
    """What a waiting job waits for, once the scheduler has looked at it."""
    for _look in range(30):
        found = cluster.run("ctl", f"squeue --noheader --jobs={job_id} --format=%T/%r").strip()
        if found not in ("PENDING/None", "PENDING/Priority", "PENDING/(null)"):
            return found
        time.sleep(1)
    return found


def usage(cluster: Cluster) -> dict[tuple[str, str], int]:
    """GPU-seconds of this hour and the one before by (account, user), an account's sum by (account, "").

    slurmdbd sums up once an hour, so both hours are summed up now. sreport (24.11) moves an end that is to come back to
    the start of this hour, unless it is asked for this hour alone: it is asked for one hour at a time.
    """
    hour = int(cluster.run("ctl", "date +%s")) // 3600 * 3600
    used: dict[tuple[str, str], int] = {}
    for start in (hour - 3600, hour):
        span = f"start=$(date --date=@{start} +%FT%T) end=$(date --date=@{start + 3600} +%FT%T)"
        report = cluster.run(
            "ctl",
            f"{span}; sacctmgr --immediate rollup $start $end 2>&1 >/dev/null; sreport --noheader --parsable2 "
            "--tres=gres/gpu -t Seconds cluster AccountUtilizationByUser start=$start end=$end "
            "format=Account,Login,Used",
        )
        for account, login, seconds in (line.split("|") for line in report.splitlines() if line.count("|") == 2):
            used[account, login] = used.get((account, login), 0) + int(seconds)
    return used


def test_settings_that_make_it_count(accounts: Cluster) -> None:
    shown = accounts.run("ctl", "scontrol show config")
    for key, value in (
        ("AccountingStorageEnforce", "associations,limits,qos,safe"),
        ("PriorityType", "priority/multifactor"),
        ("PriorityWeightFairShare", "10000"),
    ):
        assert any(line.split() == [key, "=", value] for line in shown.splitlines()), key
    shares = accounts.run("ctl", "sshare --all --noheader --parsable2 --format=Account,User,RawShares")
    assert {"jobs-all||10", "jobs-physics||3", "jobs-physics|ada|1"} <= {line.strip() for line in shares.splitlines()}


def test_jobs_of_two_users_are_counted_where_they_belong(accounts: Cluster, job: Callable[..., dict[str, Any]]) -> None:
    of_ada = job("ada", "acc-ada")
    of_ben = job("ben", "acc-ben")
    elsewhere = job("ben", "acc-ben-physics", account="jobs-physics", qos="jobs-urgent")
    service = job("vllm", "acc-service")
    ids = [found["job_id"] for found in (of_ada, of_ben, elsewhere, service)]
    shown = accounts.run(
        "ctl",
        f"sacct --jobs={','.join(map(str, ids))} --allocations --noheader --parsable2 --format=User,Account,QOS,State",
    )
    assert shown.splitlines() == [
        "ada|jobs-physics|normal|COMPLETED",
        "ben|jobs-chemistry|normal|COMPLETED",
        "ben|jobs-physics|jobs-urgent|COMPLETED",
        "vllm|services|normal|COMPLETED",
    ]

    used = usage(accounts)
    for place in (("jobs-physics", "ada"), ("jobs-physics", "ben"), ("jobs-chemistry", "ben"), ("services", "vllm")):
        assert used[place] >= 3, used
    assert used[("jobs-all", "")] == used[("jobs-physics", "")] + used[("jobs-chemistry", "")]
    assert used[("jobs-physics", "")] == used[("jobs-physics", "ada")] + used[("jobs-physics", "ben")]


def test_a_limit_holds(accounts: Cluster, job: Callable[..., dict[str, Any]], task: Task) -> None:
    first = job("ben", "acc-limit-1", state="running")
    second = job("ben", "acc-limit-2", state="submitted")
    assert reason(accounts, second["job_id"]) == "PENDING/AssocGrpGRES"
    third = job("ben", "acc-limit-3", state="submitted", fails=True)
    assert "Job violates accounting/QOS policy" in third["msg"]
    # Others are not held by it, and GPUs are free.
    other = job("ada", "acc-limit-4", state="running")
    assert other["job_state"] == "RUNNING"

    lifted = {"cluster": "lab", "accounts": [{"name": "jobs-chemistry", "limits": {"grp_tres": {"gres/gpu": 2}}}]}
    assert task("slurm_accounting", lifted)["changed"]
    for _look in range(60):
        if reason(accounts, second["job_id"]).startswith("RUNNING"):
            break
        time.sleep(1)
    assert reason(accounts, second["job_id"]) == "RUNNING/None"

    busy = {"cluster": "lab", "users": [{"name": "ben", "state": "absent"}]}
    refused = task("slurm_accounting", busy, fails=True)
    assert "Cancel its jobs or wait until they end." in refused["msg"]
    assert [first["job_state"], refused["changed"]] == ["RUNNING", False]
    accounts.run("ctl", "scancel --user=ben; scancel --user=ada")


def test_nobody_runs_without_an_account(job: Callable[..., dict[str, Any]]) -> None:
    assert "Invalid account" in job("cleo", "acc-nobody", fails=True)["msg"]
    assert "Invalid account" in job("ada", "acc-foreign", account="jobs-chemistry", fails=True)["msg"]
    assert "Invalid qos" in job("ben", "acc-qos", qos="jobs-urgent", fails=True)["msg"]


def test_a_user_that_comes_after_the_account(accounts: Cluster, job: Callable[..., dict[str, Any]], task: Task) -> None:
    for host in ("ctl", "gpu1", "gpu2"):
        accounts.run(host, "userdel --remove dora", check=False)
    users = [{"name": "dora", "accounts": ["jobs-all"]}]
    wanted = {"cluster": "lab", "accounts": [{"name": "jobs-all"}], "users": users}
    try:
        early = task("slurm_accounting", wanted)
        assert "This host has no user dora" in early["warnings"][0]
        for host in ("ctl", "gpu1", "gpu2"):
            accounts.run(host, "useradd --create-home --uid 2204 dora")
        late = task("slurm_accounting", wanted)
        assert late["changes"] == ["make slurmctld look for the user id of dora"]
        assert task("slurm_accounting", wanted)["changed"] is False
        assert job("dora", "acc-dora")["job_state"] == "COMPLETED"
    finally:
        accounts.run("ctl", "sacctmgr --immediate delete user where name=dora", check=False)
        for host in ("ctl", "gpu1", "gpu2"):
            accounts.run(host, "userdel --remove dora", check=False)
