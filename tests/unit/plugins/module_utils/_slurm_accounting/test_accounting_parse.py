# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import fields, model, parse
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import ReadError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import State, Values

# What sacctmgr of these printed (tests/record_accounting.py).
VERSIONS = ("24.11.5", "26.05.5")
FIXTURES = Path(__file__).parents[3] / "fixtures"


def recorded(what: str, version: str = VERSIONS[0]) -> str:
    return (FIXTURES / f"slurm-{version}" / f"sacctmgr-{what}.txt").read_text(encoding="utf-8")


def recorded_state(version: str = VERSIONS[0]) -> State:
    return parse.state(
        qos=recorded("qos", version),
        accounts=recorded("account", version),
        users=recorded("user", version),
        associations=recorded("association", version),
        tres=recorded("tres", version),
    )


def said(values: Values, kind: str) -> Values:
    """Only what differs from Slurm's defaults."""
    return {one.name: values[one.name] for one in fields.OF_KIND[kind] if values[one.name] != one.default}


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_say_the_same(version: str) -> None:
    assert recorded_state(version) == recorded_state()


def test_things() -> None:
    assert sorted(map(str, recorded_state().things)) == [
        "account rec-a",
        "account rec-b",
        "account root",
        "qos normal",
        "qos rec-batch",
        "qos rec-fast",
        "user rec-u",
        "user rec-u in the account rec-a",
        "user rec-u in the account rec-a in the partition gpu",
        "user rec-u in the account rec-b",
        "user root",
        "user root in the account root",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("normal", {"description": "normal qos default"}),
        # A bar of its own; Slurm made the quotes to what they are.
        ("rec-batch", {"description": "work | that `may` wait"}),
        (
            "rec-fast",
            {
                "description": "rec-fast",
                "priority": 100,
                "flags": ("DenyOnLimit", "NoReserve"),
                "preempt": ("normal", "rec-batch"),
                "preempt_mode": ("requeue",),
                "preempt_exempt_time": 300,
                "grace_time": 90,
                "usage_factor": 0.5,
                "usage_threshold": 0.25,
                "limit_factor": 2.0,
                "grp_jobs": 5,
                "grp_tres": {"cpu": 4, "gres/gpu": 2, "mem": 65536},
                "grp_tres_mins": {"cpu": 1000000},
                "grp_wall": 1440,
                "max_tres_per_job": {"mem": 4100},
                "max_wall": 90,
                "max_jobs_per_user": 3,
                "min_prio_threshold": 7,
                "min_tres_per_job": {"gres/gpu": 1},
            },
        ),
    ],
)
def test_qos(name: str, expected: Values) -> None:
    assert said(recorded_state().things[model.qos(name)], "qos") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("root", {"description": "default root account", "organization": "root", "parent": None, "qos": ("normal",)}),
        (
            "rec-a",
            {
                "description": "words of an admin",
                "organization": "org",
                "fairshare": 75,
                "priority": 7,
                "qos": ("normal", "rec-batch"),
                "default_qos": "rec-batch",
                "grp_tres": {"gres/gpu": 1},
                "max_wall": 90,
                "max_jobs": 3,
            },
        ),
        (
            "rec-b",
            {
                "description": "rec-b",
                "organization": "rec-a",
                "parent": "rec-a",
                "fairshare": "parent",
                "qos": ("+rec-fast",),
            },
        ),
    ],
)
def test_account(name: str, expected: Values) -> None:
    assert said(recorded_state().things[model.account(name)], "account") == expected


def test_user_and_associations() -> None:
    things = recorded_state().things
    assert things[model.user("rec-u")] == {"default_account": "rec-b", "admin_level": "Operator"}
    assert said(things[model.association("rec-u", "rec-b")], "association") == {"max_jobs": 1}
    assert said(things[model.association("rec-u", "rec-a")], "association") == {"default_qos": "rec-batch"}
    assert said(things[model.association("rec-u", "rec-a", "gpu")], "association") == {"fairshare": 5}


def test_tres_and_clusters() -> None:
    assert {"cpu", "fs/disk", "gres/gpu"} <= recorded_state().tres
    assert parse.cluster_names(recorded("cluster")) == ["lab"]


def test_an_account_without_an_association_is_not_of_this_cluster() -> None:
    found = parse.state(qos="", accounts="old|org|words\n", users="u|None|old\n", associations="")
    assert found.things == {}


@pytest.mark.parametrize(
    ("accounts", "qos", "says"),
    [
        (
            "a|org|two\nlines\n",
            "",
            "Reading account failed: sacctmgr answered 'lines', which has 1 columns instead of 3. "
            "Run `sacctmgr show account` by hand and look for a text with a line break in it.",
        ),
        (
            "",
            recorded("qos").replace("|5|||cpu=4", "|five|||cpu=4"),
            "Reading GrpJobs of rec-fast failed: sacctmgr printed 'five' instead of a whole number, or null for no "
            "limit. Report this with the version of Slurm.",
        ),
    ],
    ids=["line break", "unknown value"],
)
def test_unreadable(accounts: str, qos: str, says: str) -> None:
    with pytest.raises(ReadError) as caught:
        parse.state(qos=qos, accounts=accounts, users="", associations="")
    assert caught.value.message == says
