"""QOS, accounts and users on a real slurmdbd: made, changed, gone; each step in check mode first, and each twice."""

from __future__ import annotations

import copy
from typing import Any

from tests.cluster import Cluster
from tests.integration.slurm_accounting.conftest import Task

QOS: list[dict[str, Any]] = [
    {
        "name": "cycle-fast",
        "description": "Fast Lane",
        "priority": 100,
        "flags": ["DenyOnLimit", "NoReserve"],
        "preempt": ["cycle-slow"],
        "preempt_mode": ["requeue"],
        "preempt_exempt_time": 300,
        "grace_time": "00:01:30",
        "usage_factor": 0.5,
        "usage_threshold": 0.25,
        "limit_factor": 2,
        "limits": {
            "grp_jobs": 9,
            "grp_jobs_accrue": 8,
            "grp_submit_jobs": 7,
            "grp_tres": {"gres/gpu": 4, "mem": "64G"},
            "grp_tres_mins": "cpu=1000000",
            "grp_tres_run_mins": {"cpu": 5000},
            "grp_wall": "2-00:00:00",
            "max_tres_mins_per_job": {"cpu": 600},
            "max_tres_per_job": {"node": 2},
            "max_tres_per_node": {"gres/gpu": 1},
            "max_wall": 90,
            "max_jobs_accrue_per_account": 6,
            "max_jobs_accrue_per_user": 5,
            "max_jobs_per_account": 4,
            "max_jobs_per_user": 3,
            "max_submit_jobs_per_account": 2,
            "max_submit_jobs_per_user": 1,
            "max_tres_per_account": {"cpu": 8},
            "max_tres_per_user": {"cpu": 7},
            "max_tres_run_mins_per_account": {"cpu": 800},
            "max_tres_run_mins_per_user": {"cpu": 700},
            "min_prio_threshold": 6,
            "min_tres_per_job": {"cpu": 1},
        },
    },
    {"name": "cycle-slow"},
]
LIMITS = {
    "grp_jobs": 9,
    "grp_jobs_accrue": 8,
    "grp_submit_jobs": 7,
    "grp_tres": {"cpu": 16, "gres/gpu": 2},
    "grp_tres_mins": {"cpu": 1000},
    "grp_tres_run_mins": {"cpu": 900},
    "grp_wall": 600,
    "max_tres_mins_per_job": {"cpu": 500},
    "max_tres_per_job": {"cpu": 4},
    "max_tres_per_node": {"cpu": 2},
    "max_wall": "1-12",
    "max_jobs": 6,
    "max_jobs_accrue": 5,
    "max_submit_jobs": 4,
}
WANTED: dict[str, Any] = {
    "cluster": "lab",
    "qos": QOS,
    "accounts": [
        {"name": "cycle-leaf", "parent": "cycle-top", "fairshare": "parent"},
        {
            "name": "cycle-top",
            "description": "All Of Them",
            "organization": "Cycle Inc",
            "fairshare": 75,
            "priority": 5,
            "qos": ["normal", "cycle-fast"],
            "default_qos": "cycle-fast",
            "limits": LIMITS,
        },
    ],
    "users": [
        {
            "name": "cycle-user",
            "default_account": "cycle-leaf",
            "admin_level": "operator",
            "accounts": [
                {"name": "cycle-top", "default_qos": "cycle-fast", "limits": LIMITS},
                {"name": "cycle-top", "partition": "gpu", "fairshare": 3, "priority": 2},
                "cycle-leaf",
            ],
        }
    ],
}
GONE: dict[str, Any] = {
    "cluster": "lab",
    "qos": [{"name": one["name"], "state": "absent"} for one in QOS],
    "accounts": [{"name": one["name"], "state": "absent"} for one in WANTED["accounts"]],
    "users": [{"name": "cycle-user", "state": "absent"}],
}


def step(task: Task, site: Cluster, wanted: dict[str, Any]) -> dict[str, Any]:
    """Check mode tells the change and makes none; the second time there is nothing to do."""
    before = database(site)
    foreseen = task("slurm_accounting", wanted, check=True)
    assert foreseen["changed"]
    assert database(site) == before
    made = task("slurm_accounting", wanted)
    assert (made["changed"], made["changes"]) == (True, foreseen["changes"])
    after = database(site)
    again = task("slurm_accounting", wanted)
    assert (again["changed"], again["changes"]) == (False, [])
    assert database(site) == after
    return foreseen


def database(site: Cluster) -> str:
    looks = ("qos", "association WOPLimits", "account", "user")
    return site.run("ctl", "; ".join(f"sacctmgr --noheader --parsable2 show {look}" for look in looks))


def changed(**lists: list[dict[str, Any]]) -> dict[str, Any]:
    return {**copy.deepcopy(WANTED), **lists}


def test_made_changed_and_gone(site: Cluster, task: Task) -> None:
    others = database(site)

    made = step(task, site, WANTED)
    assert len(made["changes"]) == 8
    assert "cycle-top:\n    default_qos: cycle-fast\n    description: all of them\n" in made["diff"]["after"]

    # Every limit goes, the default QOS changes, and the two accounts change places.
    qos: list[dict[str, Any]] = [
        {"name": "cycle-fast", "limits": dict.fromkeys(QOS[0]["limits"]), "flags": [], "preempt": []},
        QOS[1],
    ]
    accounts: list[dict[str, Any]] = [
        {"name": "cycle-leaf", "parent": "root", "fairshare": 1, "qos": ["cycle-slow"]},
        {
            "name": "cycle-top",
            "parent": "cycle-leaf",
            "fairshare": 1,
            "qos": [],
            "default_qos": "cycle-slow",
            "limits": dict.fromkeys(LIMITS),
        },
    ]
    users: list[dict[str, Any]] = [
        {
            "name": "cycle-user",
            "default_account": "cycle-top",
            "admin_level": "none",
            "accounts": [
                {"name": "cycle-top", "default_qos": "-1", "limits": dict.fromkeys(LIMITS)},
                {"name": "cycle-leaf", "state": "absent"},
            ],
        }
    ]
    step(task, site, changed(qos=qos, accounts=accounts, users=users))
    shown = site.run("ctl", "sacctmgr --noheader --parsable2 show association where account=cycle-top,cycle-leaf")
    assert sorted(shown.splitlines()) == [
        "lab|cycle-leaf|||1|||||||||||||cycle-slow||",
        "lab|cycle-top|cycle-user|gpu|3|2||||||||||||cycle-slow|cycle-slow|",
        "lab|cycle-top|cycle-user||1|5||||||||||||cycle-slow|cycle-slow|",
        "lab|cycle-top|||1|5||||||||||||cycle-slow|cycle-slow|",
    ]

    # A purge would take everybody else's things: it is only foreseen here. What is named stays.
    purged = task("slurm_accounting", {**GONE, "purge": True}, check=True)
    assert {"remove user cycle-user", "remove account cycle-top", "remove qos cycle-fast"} <= set(purged["changes"])
    assert not {"remove user root", "remove account root", "remove qos normal"} & set(purged["changes"])

    gone = step(task, site, GONE)
    assert gone["changes"] == [
        "remove user cycle-user",
        "remove account cycle-top",
        "remove account cycle-leaf",
        "remove qos cycle-fast",
        "remove qos cycle-slow",
    ]
    assert database(site) == others


def test_what_cannot_be_is_refused_before_any_change(site: Cluster, task: Task) -> None:
    before = database(site)
    qos = [{"name": "cycle-new"}]
    for accounts, says in (
        ([{"name": "cycle-x", "limits": {"grp_tres": {"gres/tpu": 1}}}], "this cluster counts no 'gres/tpu'"),
        ([{"name": "cycle-x", "parent": "cycle-y"}], "which is no declared account"),
        ([{"name": "cycle-x", "qos": ["cycle-new"], "default_qos": "normal"}], "which is not in its qos cycle-new"),
        ([{"name": "cycle-x", "default_qos": "cycle-new"}], "but all they may name would be normal"),
    ):
        wanted = {"cluster": "lab", "qos": qos, "accounts": accounts}
        assert says in task("slurm_accounting", wanted, check=True, fails=True)["msg"]
        assert says in task("slurm_accounting", wanted, fails=True)["msg"]
    wrong = task("slurm_accounting", {"cluster": "labb", "qos": qos}, fails=True)
    assert wrong["msg"] == (
        "Reading the accounting of the cluster labb failed: the database knows no such cluster (known: lab). "
        "Start slurmctld with that ClusterName, or correct the name."
    )
    assert database(site) == before
