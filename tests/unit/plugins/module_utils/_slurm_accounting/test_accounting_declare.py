# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import model
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.check import circles
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.declare import (
    accounting_problems,
    declare,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import DeclarationError

PARENT_ADVICE = "An account that is there already is declared by its name alone."


def test_a_whole_declaration() -> None:
    declared = declare(
        [{"name": "fast", "priority": 10, "limits": {"max_wall": "1-00:00:00"}}, {"name": "old", "state": "absent"}],
        [{"name": "research", "description": None, "limits": {"grp_tres": {"gres/gpu": 1}}}],
        [{"name": "alice", "accounts": ["research", {"name": "research", "partition": "gpu", "fairshare": 2}]}],
        purge=False,
    )
    assert declared.things == {
        model.qos("fast"): {"priority": 10, "max_wall": 1440},
        model.account("research"): {"grp_tres": {"gres/gpu": 1}},
        model.user("alice"): {},
        model.association("alice", "research"): {},
        model.association("alice", "research", "gpu"): {"fairshare": 2},
    }
    assert declared.absent == {model.qos("old")}


def test_memberships_of_an_absent_user_are_absent() -> None:
    declared = declare(None, [{"name": "a"}], [{"name": "bob", "state": "absent", "accounts": ["a"]}], purge=False)
    assert declared.absent == {model.user("bob"), model.association("bob", "a")}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "account circle": (
        {"accounts": [{"name": "a", "parent": "c"}, {"name": "b", "parent": "a"}, {"name": "c", "parent": "b"}]},
        "slurm_accounts[0] (a): its parents make a circle: a -> c -> b -> a. Give one of them another parent.",
    ),
    "its own parent": (
        {"accounts": [{"name": "a", "parent": "a"}]},
        "slurm_accounts[0] (a): its parents make a circle: a -> a. Give one of them another parent.",
    ),
    "unknown parent": (
        {"accounts": [{"name": "a", "parent": "b"}]},
        f"slurm_accounts[0] (a): parent is 'b', which is no declared account. Known are a, root. {PARENT_ADVICE}",
    ),
    "absent parent": (
        {"accounts": [{"name": "a", "parent": "b"}, {"name": "b", "state": "absent"}]},
        f"slurm_accounts[0] (a): parent is 'b', which is no declared account. Known are a, root. {PARENT_ADVICE}",
    ),
    "parent of root": (
        {"accounts": [{"name": "root", "parent": "root"}]},
        "slurm_accounts[0] (root): parent is 'root', but root is the top of the tree. Leave parent out.",
    ),
    "user without account": (
        {"users": [{"name": "bob"}]},
        "slurm_users[0] (bob): it has no account, so it could run nothing. Name one in accounts, or say state: absent.",
    ),
    "user of an unknown account": (
        {"users": [{"name": "bob", "accounts": ["x"]}]},
        f"slurm_users[0] (bob): accounts[0] (x): 'x' is no declared account. Known are root. {PARENT_ADVICE}",
    ),
    "default account of others": (
        {
            "accounts": [{"name": "a"}, {"name": "b"}],
            "users": [{"name": "u", "default_account": "b", "accounts": ["a"]}],
        },
        "slurm_users[0] (u): default_account is 'b', which is not among its accounts a.",
    ),
    "unknown limit": (
        {"accounts": [{"name": "a", "limits": {"max_job": 1}}]},
        "slurm_accounts[0] (a): 'max_job' is an unknown limit. Did you mean 'max_jobs'? Known are grp_jobs, "
        "grp_jobs_accrue, grp_submit_jobs, grp_tres, grp_tres_mins, grp_tres_run_mins, grp_wall, max_jobs, "
        "max_jobs_accrue, max_submit_jobs, max_tres_mins_per_job, max_tres_per_job, max_tres_per_node, max_wall.",
    ),
    "a limit beside the limits": (
        {"accounts": [{"name": "a", "max_jobs": 1}]},
        "slurm_accounts[0] (a): 'max_jobs' is an unknown key. Known are default_qos, description, fairshare, "
        "organization, parent, priority, qos.",
    ),
    "duplicate account": (
        {"accounts": [{"name": "a"}, {"name": "a"}]},
        "slurm_accounts[1] (a): the account a is declared twice, first as slurm_accounts[0] (a).",
    ),
    "duplicate membership": (
        {"accounts": [{"name": "a"}], "users": [{"name": "u", "accounts": ["a", {"name": "a"}]}]},
        "slurm_users[0] (u): accounts[1] (a): the user u in the account a is declared twice, "
        "first as slurm_users[0] (u): accounts[0] (a).",
    ),
    "present and absent": (
        {"qos": [{"name": "q"}, {"name": "q", "state": "absent"}]},
        "slurm_qos[1] (q): the qos q is declared twice, first as slurm_qos[0] (q).",
    ),
    "no name": (
        {"qos": [{"priority": 1}]},
        "slurm_qos[0]: name is ''; allowed are lower case letters, digits and _.@+-, "
        "because Slurm keeps names in lower case.",
    ),
    "capitals": (
        {"accounts": [{"name": "Physics"}]},
        "slurm_accounts[0]: name is 'Physics'; allowed are lower case letters, digits and _.@+-, "
        "because Slurm keeps names in lower case.",
    ),
    "no entry": ({"qos": ["fast"]}, "slurm_qos[0] is 'fast'; allowed is an entry with a name."),
    "no list": ({"users": {"name": "u"}}, "slurm_users is no list."),
    "memberships are no list": (
        {"users": [{"name": "u", "accounts": "a"}]},
        "slurm_users[0] (u): accounts is 'a'; allowed is a list of names or entries.",
    ),
    "state": (
        {"qos": [{"name": "q", "state": "gone"}]},
        "slurm_qos[0] (q): state is 'gone'; allowed is present or absent.",
    ),
    "without normal": (
        {"qos": [{"name": "normal", "state": "absent"}]},
        "slurm_qos[0] (normal): state is 'absent', but Slurm itself needs the qos normal.",
    ),
    "unknown qos": (
        {"accounts": [{"name": "a", "qos": ["fst"]}]},
        "slurm_accounts[0] (a): qos names 'fst', which is no declared QOS. Known are normal.",
    ),
    "preempts nobody": (
        {"qos": [{"name": "q", "preempt": ["batch"]}]},
        "slurm_qos[0] (q): preempt names 'batch', which is no declared QOS. Known are normal, q.",
    ),
    "unknown default qos": (
        {"accounts": [{"name": "a", "default_qos": "fst"}]},
        "slurm_accounts[0] (a): default_qos is 'fst', which is no declared QOS. Known are normal.",
    ),
    "default qos out of its list": (
        {"qos": [{"name": "q"}], "accounts": [{"name": "a", "qos": ["normal"], "default_qos": "q"}]},
        "slurm_accounts[0] (a): default_qos is 'q', which is not in its qos normal.",
    ),
    "bad value": (
        {"accounts": [{"name": "a", "limits": {"max_jobs": "many"}}]},
        "slurm_accounts[0] (a): max_jobs is 'many'; allowed is a whole number, or null for no limit.",
    ),
    "limits are no mapping": (
        {"accounts": [{"name": "a", "limits": ["max_jobs"]}]},
        "slurm_accounts[0] (a): limits is ['max_jobs']; allowed is a mapping of limits.",
    ),
    "bad partition": (
        {"accounts": [{"name": "a"}], "users": [{"name": "u", "accounts": [{"name": "a", "partition": "a,b"}]}]},
        "slurm_users[0] (u): accounts[0] (a): partition is 'a,b'; allowed is the name of one partition.",
    ),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_refused(given: dict[str, Any], message: str) -> None:
    assert accounting_problems(**given, prefix="slurm_") == [message]


def test_all_problems_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        declare([{"name": "q", "colour": 1}], [{"name": "a", "fairshare": "x"}], [], purge=False)
    assert [line.split(":")[0] for line in caught.value.message.splitlines()] == ["qos[0] (q)", "accounts[0] (a)"]


def test_nothing_is_no_problem() -> None:
    assert accounting_problems() == []


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({"a": "root", "b": "a"}, []),
        ({"a": "b", "b": "a", "c": "a"}, [["a", "b", "a"]]),
        ({"a": "a", "c": "d", "d": "c"}, [["a", "a"], ["c", "d", "c"]]),
    ],
    ids=["tree", "circle with a tail", "two circles"],
)
def test_circles(parents: dict[str, str], expected: list[list[str]]) -> None:
    assert circles(parents) == expected
