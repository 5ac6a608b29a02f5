# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's whole way over a model of sacctmgr: faults, lies, and what is left after them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.client import AccountingClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.converge import converge
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.declare import declare
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import (
    AccountingError,
    ChangeError,
    ReadError,
)
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm_accounting.fake_sacctmgr import (
    FakeSacctmgr,
)

WANTED: dict[str, Any] = {
    "qos": [{"name": "fast", "priority": 10}],
    "accounts": [{"name": "a", "qos": ["normal", "fast"]}, {"name": "b", "parent": "a", "limits": {"max_jobs": 1}}],
    "users": [{"name": "u", "accounts": ["a", "b"]}],
}
NOTHING: dict[str, Any] = {"qos": [], "accounts": [], "users": []}


def client(slurm: FakeSacctmgr) -> AccountingClient:
    seconds = itertools.count()
    return AccountingClient(
        "/b/sacctmgr",
        "lab",
        {},
        scontrol="/b/scontrol",
        runner=slurm,
        clock=lambda: float(next(seconds)),
        sleep=lambda _seconds: None,
    )


def run(
    slurm: FakeSacctmgr,
    wanted: dict[str, Any],
    *,
    check: bool = False,
    purge: bool = False,
    exists: Callable[[str], bool] = lambda _name: True,
) -> dict[str, Any]:
    return converge(client(slurm), declare(**wanted, purge=purge), check_mode=check, exists=exists)


def test_made_then_unchanged_then_gone() -> None:
    slurm = FakeSacctmgr()
    foreseen = run(slurm, WANTED, check=True)
    assert slurm.changes == []
    made = run(slurm, WANTED)
    assert made == foreseen
    assert made["changed"] is True
    assert len(slurm.changes) == len(made["changes"]) == 5
    assert run(slurm, WANTED) == {"changed": False, "changes": [], "diff": {"before": "", "after": ""}}

    assert run(slurm, NOTHING)["changed"] is False
    gone = run(slurm, NOTHING, purge=True)
    assert gone["changes"] == ["remove user u", "remove account b", "remove account a", "remove qos fast"]
    assert run(slurm, NOTHING, purge=True)["changed"] is False


@pytest.mark.parametrize("place", range(5))
def test_the_same_task_goes_on_after_a_failure(place: int) -> None:
    slurm = FakeSacctmgr(fail_at=place)
    with pytest.raises(ChangeError) as caught:
        run(slurm, WANTED)
    facts = caught.value.facts
    assert len(facts["changes"]) == place
    assert facts["changed"] is (place > 0)
    assert caught.value.message.endswith(
        " failed: lost; Error with request: Unspecified error. "
        "What came before it is done; run this task again to go on from there."
    )
    slurm.fail_at = None
    assert len(run(slurm, WANTED)["changes"]) == 5 - place
    assert run(slurm, WANTED)["changed"] is False


def test_sacctmgr_that_does_not_do_what_it_says() -> None:
    with pytest.raises(ChangeError) as caught:
        run(FakeSacctmgr(lies=True), {**NOTHING, "qos": [{"name": "fast"}]})
    assert caught.value.message == (
        "Slurm took every change, but still differs: add qos fast. "
        "Look whether another tool manages the same accounts, then run this task again."
    )


def test_jobs_keep_an_account() -> None:
    slurm = FakeSacctmgr()
    run(slurm, WANTED)
    slurm.busy = {"u"}
    with pytest.raises(ChangeError) as caught:
        run(slurm, NOTHING, purge=True)
    assert caught.value.message == (
        "Removing the user u failed: Error with request: Job(s) active, cancel job(s) before remove. "
        "Cancel its jobs or wait until they end. What came before it is done; run this task again to go on from there."
    )


def test_a_database_that_is_away_for_a_moment() -> None:
    assert run(FakeSacctmgr(silent=3), WANTED)["changed"] is True


def test_a_database_that_stays_away() -> None:
    with pytest.raises(ReadError) as caught:
        run(FakeSacctmgr(silent=1000), WANTED)
    assert caught.value.message.startswith("Reading cluster failed: sacctmgr gave no answer for ")
    assert caught.value.message.endswith(
        "(last: slurm_persist_conn_open: Connection refused). "
        "Look at slurmdbd with `sacctmgr ping` and at munge on this host, then run this task again."
    )


def test_an_unknown_cluster() -> None:
    with pytest.raises(ReadError) as caught:
        run(FakeSacctmgr(clusters=["other"]), WANTED)
    assert caught.value.message == (
        "Reading the accounting of the cluster lab failed: the database knows no such cluster (known: other). "
        "Start slurmctld with that ClusterName, or correct the name."
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Completed((), None, "", ""), "no answer within 90 seconds."),
        (Completed((), 1, "", ""), "exit code 1 and no message."),
        (
            Completed((), 1, " Error with request: Access/permission denied\n", ""),
            "Error with request: Access/permission denied. Use become: root and SlurmUser may.",
        ),
    ],
    ids=["time", "silence", "no right"],
)
def test_complaints(answer: Completed, says: str) -> None:
    slurm = FakeSacctmgr()

    def runner(argv: list[str], env: Any, cwd: str = "/") -> Completed:
        return answer if "add" in argv else slurm(argv, env, cwd)

    told = AccountingClient("/b/sacctmgr", "lab", {}, runner=runner, sleep=lambda _seconds: None)
    with pytest.raises(AccountingError) as caught:
        converge(told, declare([{"name": "q"}], [], [], purge=False), check_mode=False)
    assert caught.value.message.startswith(f"Adding the qos q failed: {says}")


def test_only_what_sacctmgr_needs_of_the_session() -> None:
    seen: dict[str, str] = {}

    def runner(argv: list[str], env: Any, cwd: str = "/") -> Completed:
        seen.update(env)
        return Completed((), 0, "lab\n", "")

    inherited = {"SLURM_CONF": "/etc/s.conf", "SLURM_CLUSTERS": "other", "SACCTMGR_FORMAT": "x"}
    with pytest.raises(ReadError):
        AccountingClient("/b/sacctmgr", "lab", inherited, runner=runner).state()
    assert set(seen) == {"LANG", "LC_ALL", "PATH", "SLURM_CONF"}


def test_a_user_that_the_host_got_later() -> None:
    slurm = FakeSacctmgr(without_id={"u", "somebody-else"})
    made = run(slurm, WANTED, exists=lambda _name: False)
    assert made["warnings"] == [
        "This host has no user u: Slurm refuses the jobs of such users. "
        "Make them here, with the same uid on every host, and run this task again."
    ]
    assert ["/b/scontrol", "reconfigure"] not in slurm.changes

    words = ["make slurmctld look for the user id of u"]
    foreseen = run(slurm, WANTED, check=True)
    assert (foreseen["changed"], foreseen["changes"]) == (True, words)
    assert slurm.without_id
    assert run(slurm, WANTED)["changes"] == words
    assert run(slurm, WANTED)["changed"] is False


def test_a_controller_that_cannot_look_for_ids() -> None:
    slurm = FakeSacctmgr(without_id={"u"})

    def runner(argv: list[str], env: Any, cwd: str = "/") -> Completed:
        if argv[1:] == ["reconfigure"]:
            return Completed((), 1, "", "slurm_reconfigure error: Unable to contact slurm controller (connect failure)")
        return slurm(argv, env, cwd)

    told = AccountingClient("/b/sacctmgr", "lab", {}, scontrol="/b/scontrol", runner=runner)
    declared = declare(**WANTED, purge=False)
    with pytest.raises(ChangeError) as caught:
        converge(told, declared, check_mode=False, exists=lambda _name: True)
    assert caught.value.message == (
        "Making slurmctld look for user ids failed: slurm_reconfigure error: Unable to contact slurm controller "
        "(connect failure). Run `scontrol reconfigure` when it answers again."
    )
    assert len(caught.value.facts["changes"]) == 5
