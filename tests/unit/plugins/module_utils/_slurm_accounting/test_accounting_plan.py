# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import command, describe
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.declare import declare
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import DeclarationError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import State
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.plan import plan
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm_accounting.test_accounting_parse import (
    recorded_state,
)


def planned(
    state: State | None = None,
    *,
    qos: list[Any] | None = None,
    accounts: list[Any] | None = None,
    users: list[Any] | None = None,
    purge: bool = False,
) -> list[str]:
    """Changes of a database as it was recorded, in words."""
    declared = declare(qos, accounts, users, purge=purge)
    return [describe.in_words(change) for change in plan(declared, state or recorded_state())]


AS_IT_IS: dict[str, Any] = {
    "qos": [{"name": "rec-batch"}, {"name": "rec-fast"}],
    "accounts": [{"name": "rec-a"}, {"name": "rec-b"}],
    "users": [{"name": "rec-u", "accounts": ["rec-a", {"name": "rec-a", "partition": "gpu"}, "rec-b"]}],
}


def test_names_alone_change_nothing() -> None:
    assert planned(**AS_IT_IS) == []
    assert planned() == []


def test_values_are_compared_as_slurm_keeps_them() -> None:
    qos = {
        "name": "rec-fast",
        "priority": 100,
        "flags": ["noreserve", "denyonlimit"],
        "preempt": ["rec-batch", "normal"],
        "preempt_mode": ["REQUEUE"],
        "preempt_exempt_time": 300,
        "grace_time": "1:30",
        "usage_factor": 0.5,
        "usage_threshold": "0.25",
        "limit_factor": 2,
        "limits": {"grp_tres": "mem=65536,gres/gpu=2", "grp_wall": "1-0", "max_tres_per_job": {"mem": "4100M"}},
    }
    account = {
        "name": "rec-a",
        "parent": "root",
        "description": "Words of an ADMIN",
        "fairshare": "75",
        "qos": ["rec-batch", "normal"],
        "limits": {"max_wall": "01:30:00", "max_submit_jobs": None, "grp_jobs": -1},
    }
    assert planned(qos=[qos, {"name": "rec-batch"}], accounts=[account]) == []


def test_new_things_in_slurms_order() -> None:
    assert planned(
        qos=[{"name": "one", "preempt": ["two"], "priority": 5}, {"name": "two", "limits": {"max_wall": "1-0"}}],
        accounts=[{"name": "leaf", "parent": "top"}, {"name": "top", "fairshare": 3, "qos": ["one", "normal"]}],
        users=[
            {
                "name": "bob",
                "default_account": "top",
                "admin_level": "operator",
                "accounts": ["leaf", {"name": "top", "limits": {"max_jobs": 2}}],
            }
        ],
    ) == [
        "add qos one: Priority=5",
        "add qos two: MaxWallDurationPerJob=1440",
        "modify qos one: Preempt=two",
        "add account top: Fairshare=3, QOS=normal,one",
        "add account leaf: Parent=top",
        "add user bob in the account top: DefaultAccount=top, AdminLevel=Operator, MaxJobs=2",
        "add user bob in the account leaf",
    ]


def test_changes_of_what_is_there() -> None:
    assert planned(
        qos=[{"name": "rec-fast", "limits": {"grp_tres": {"cpu": None, "gres/gpu": 3}}, "preempt": [], "flags": []}],
        accounts=[{"name": "rec-a", "limits": {"max_jobs": "unlimited"}}, {"name": "rec-b", "parent": "root"}],
        users=[{"name": "rec-u", "default_account": "rec-a", "accounts": [{"name": "rec-a", "fairshare": 9}]}],
    ) == [
        "modify qos rec-fast: Flags=-1, Preempt=, GrpTRES=cpu=-1,gres/gpu=3",
        "modify account rec-a: MaxJobs=-1",
        "modify account rec-b: Parent=root",
        "modify user rec-u in the account rec-a: Fairshare=9",
        "modify user rec-u: DefaultAccount=rec-a",
    ]


def test_purge_removes_what_is_not_declared_from_the_leaves_up() -> None:
    assert planned(purge=True) == [
        "remove user rec-u",
        "remove account rec-b",
        "remove account rec-a",
        "remove qos rec-batch",
        "remove qos rec-fast",
    ]


def test_purge_puts_back_what_is_not_declared_of_a_thing() -> None:
    users = [{"name": "rec-u", "accounts": ["rec-a"]}]
    assert planned(accounts=[{"name": "rec-a"}], users=users, purge=True) == [
        "modify account rec-a: Fairshare=1, Priority=-1, DefaultQOS=-1, GrpTRES=gres/gpu=-1, "
        "MaxWallDurationPerJob=-1, MaxJobs=-1",
        "modify user rec-u in the account rec-a: DefaultQOS=-1",
        "modify user rec-u: DefaultAccount=rec-a, AdminLevel=None",
        "modify account rec-a: QOS=",
        "remove user rec-u in the account rec-a in the partition gpu",
        "remove user rec-u in the account rec-b",
        "remove account rec-b",
        "remove qos rec-batch",
        "remove qos rec-fast",
    ]


def test_purge_leaves_what_other_clusters_may_need() -> None:
    alone = recorded_state()
    shared = State(alone.things, alone.tres, ("other",))
    assert planned(shared, purge=True) == ["remove user rec-u", "remove account rec-b", "remove account rec-a"]
    argvs = [
        command.change("sacctmgr", [one], "lab", sole=False) for one in plan(declare([], [], [], purge=True), shared)
    ]
    assert argvs[0] == ["sacctmgr", "--immediate", "delete", "user", "where", "name=rec-u", "cluster=lab"]


def test_purge_keeps_what_slurm_made() -> None:
    state = recorded_state()
    things = {thing: values for thing, values in state.things.items() if thing.built_in}
    assert planned(State(things), purge=True) == []
    assert planned(State(things), accounts=[{"name": "root"}], qos=[{"name": "normal"}], purge=True) == []


def test_absent_without_purge() -> None:
    assert planned(users=[{"name": "rec-u", "state": "absent"}, {"name": "nobody", "state": "absent"}]) == [
        "remove user rec-u"
    ]
    assert planned(
        accounts=[{"name": "rec-a"}],
        users=[{"name": "rec-u", "accounts": ["rec-a", {"name": "rec-b", "state": "absent"}]}],
    ) == ["modify user rec-u: DefaultAccount=rec-a", "remove user rec-u in the account rec-b"]


def test_moves_from_the_root_down() -> None:
    accounts = [{"name": "rec-a", "parent": "rec-b"}, {"name": "rec-b", "parent": "root", "qos": []}]
    assert planned(accounts=accounts, qos=[{"name": "rec-fast"}], users=[])[-3:] == [
        "modify account rec-b: Parent=root",
        "modify account rec-a: Parent=rec-b",
        "modify account rec-b: QOS=",
    ]


def test_default_qos_is_never_lost_on_the_way() -> None:
    qos = [{"name": "rec-fast"}, {"name": "rec-batch"}]
    accounts = [{"name": "rec-a", "qos": ["rec-fast"], "default_qos": "rec-fast"}]
    users = [{"name": "rec-u", "accounts": [{"name": "rec-a", "default_qos": "rec-fast"}]}]
    assert planned(qos=qos, accounts=accounts, users=users) == [
        "modify account rec-a: QOS=normal,rec-batch,rec-fast",
        "modify account rec-a: DefaultQOS=rec-fast",
        "modify user rec-u in the account rec-a: DefaultQOS=rec-fast",
        "modify account rec-a: QOS=rec-fast",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"accounts": [{"name": "rec-a", "parent": "rec-b"}, {"name": "rec-b"}]},
            "Moving accounts failed: with what is there already, they would make a circle: rec-a -> rec-b -> rec-a. "
            "Declare the parent of each of them.",
            id="circle with what is there",
        ),
        pytest.param(
            {"accounts": [{"name": "rec-a", "state": "absent"}]},
            "Removing the account rec-a failed: the account rec-b is in it and would go with it. "
            "Declare that one with another account or as absent too.\n"
            "Removing the account rec-a failed: the user rec-u in the account rec-a is in it and would go with it. "
            "Declare that one with another account or as absent too.\n"
            "Removing the account rec-a failed: the user rec-u in the account rec-a in the partition gpu is in it and "
            "would go with it. Declare that one with another account or as absent too.",
            id="an account that others are in",
        ),
        pytest.param(
            {"qos": [{"name": "rec-batch", "state": "absent"}]},
            "Removing the qos rec-batch failed: it is the default_qos of the account rec-a. "
            "Declare another one there.\n"
            "Removing the qos rec-batch failed: it is the default_qos of the user rec-u in the account rec-a. "
            "Declare another one there.",
            id="a qos that others default to",
        ),
        pytest.param(
            {"accounts": [{"name": "rec-a", "qos": ["normal"], "default_qos": "normal"}]},
            "Setting the QOS of the user rec-u in the account rec-a failed: jobs there default to 'rec-batch', but all "
            "they may name would be normal. Declare another default_qos there, or give it that QOS.",
            id="a default out of reach",
        ),
        pytest.param(
            {"qos": [{"name": "rec-fast"}], "accounts": [{"name": "rec-b", "qos": ["rec-fast"]}]},
            "Setting the QOS of the account rec-b failed: jobs there default to 'rec-batch', but all they may name "
            "would be rec-fast. Declare another default_qos there, or give it that QOS.\n"
            "Setting the QOS of the user rec-u in the account rec-b failed: jobs there default to 'rec-batch', but all "
            "they may name would be rec-fast. Declare another default_qos there, or give it that QOS.",
            id="an inherited default out of reach",
        ),
        pytest.param(
            {"accounts": [{"name": "rec-b", "limits": {"grp_tres": {"gres/tpu": 1}}}]},
            "Setting grp_tres of the account rec-b failed: this cluster counts no 'gres/tpu'. It counts billing, cpu, "
            "energy, fs/disk, gres/gpu, gres/gpumem, gres/gpuutil, mem, node, pages, vmem; name others in "
            "AccountingStorageTRES.",
            id="an unknown resource",
        ),
    ],
)
def test_refused_before_any_change(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        planned(**given)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"qos": [{"name": "q"}]}, ["add", "qos", "name=q"]),
        (
            {"qos": [{"name": "rec-fast", "priority": 1}]},
            ["modify", "qos", "where", "name=rec-fast", "set", "Priority=1"],
        ),
        (
            {"accounts": [{"name": "x", "description": "Two Words"}]},
            ["add", "account", "name=x", "cluster=lab", "Description=two words"],
        ),
        (
            {"users": [{"name": "rec-u", "admin_level": "none", "accounts": ["root"]}]},
            ["add", "user", "name=rec-u", "account=root", "cluster=lab"],
        ),
        (
            {
                "accounts": [{"name": "rec-a"}],
                "users": [{"name": "rec-u", "accounts": [{"name": "rec-a", "priority": 1}]}],
            },
            [
                "modify",
                "user",
                "where",
                "name=rec-u",
                "account=rec-a",
                "cluster=lab",
                'partition=""',
                "set",
                "Priority=1",
            ],
        ),
        (
            {
                "accounts": [{"name": "rec-a"}],
                "users": [
                    {"name": "rec-u", "accounts": ["rec-a", {"name": "rec-a", "partition": "gpu", "state": "absent"}]}
                ],
            },
            ["delete", "user", "where", "name=rec-u", "account=rec-a", "cluster=lab", "partition=gpu"],
        ),
        ({"users": [{"name": "rec-u", "state": "absent"}]}, ["delete", "user", "where", "name=rec-u"]),
    ],
)
def test_commands(given: dict[str, Any], expected: list[str]) -> None:
    whole = {"qos": [], "accounts": [], "users": [], **given}
    changes = plan(declare(**whole, purge=False), recorded_state())
    assert command.change("sacctmgr", changes[:1], "lab", sole=True) == ["sacctmgr", "--immediate", *expected]


def test_diff_is_yaml_of_what_is_declared() -> None:
    declared = declare(
        [],
        [
            {
                "name": "rec-a",
                "fairshare": 75,
                "limits": {"max_wall": 120, "grp_tres": {"gres/gpu": 1}, "max_jobs": None},
            }
        ],
        [{"name": "bob", "accounts": ["rec-a"]}, {"name": "rec-u", "state": "absent"}],
        purge=False,
    )
    state = recorded_state()
    diff = describe.diff(plan(declared, state), declared, state)
    assert diff["before"] == (
        "accounts:\n  rec-a:\n    fairshare: 75\n    grp_tres:\n      gres/gpu: 1\n    max_jobs: 3\n"
        '    max_wall: "01:30:00"\nusers:\n  rec-u:\n    admin_level: Operator\n    default_account: rec-b\n'
    )
    assert diff["after"] == (
        "accounts:\n  rec-a:\n    fairshare: 75\n    grp_tres:\n      gres/gpu: 1\n    max_jobs: unlimited\n"
        '    max_wall: "02:00:00"\nusers:\n  bob:\n    accounts:\n      rec-a: {}\n    default_account: rec-a\n'
    )


def test_users_that_are_alike_come_in_one_command() -> None:
    users: list[Any] = [{"name": f"u{number}", "accounts": ["rec-a"]} for number in range(150)]
    users[2]["accounts"] = [{"name": "rec-a", "fairshare": 2}]
    changes = plan(declare([], [{"name": "rec-a"}], users, purge=False), recorded_state())
    batches = list(command.batches(changes))
    assert [len(batch) for batch in batches] == [2, 1, 100, 47]
    assert [change for batch in batches for change in batch] == changes
    assert command.change("sacctmgr", batches[0], "lab", sole=True)[3:] == [
        "user",
        "name=u0,u1",
        "account=rec-a",
        "cluster=lab",
        "DefaultAccount=rec-a",
    ]


def test_what_is_not_new_comes_alone() -> None:
    changes = plan(declare([], [], [], purge=True), recorded_state())
    assert [len(batch) for batch in command.batches(changes)] == [1, 1, 1, 1, 1]
    qos = [{"name": "new", "preempt": ["rec-batch"]}, {"name": "rec-batch"}]
    assert [len(batch) for batch in command.batches(plan(declare(qos, [], [], purge=False), recorded_state()))] == [
        1,
        1,
    ]
