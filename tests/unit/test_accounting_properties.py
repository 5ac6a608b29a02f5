"""What must hold of accounting whatever is declared over whatever is there.

On a model of sacctmgr that refuses what Slurm refuses."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
from typing import Any

import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import describe, fields
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.client import AccountingClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.converge import converge
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.declare import (
    accounting_problems,
    declare,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import (
    ChangeError,
    DeclarationError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Declaration
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm_accounting.fake_sacctmgr import (
    FakeSacctmgr,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

# As many examples a property as a run of all tests has time for; LLMOPS_EXAMPLES=1000 for a thorough look.
EXAMPLES = int(os.environ.get("LLMOPS_EXAMPLES", "60"))
THOROUGH = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)

QOS = ["normal", "q1", "q2"]
ACCOUNTS = ["a1", "a2", "a3", "a4"]
USERS = ["u1", "u2", "u3"]
TRES = st.dictionaries(st.sampled_from(["cpu", "mem", "gres/gpu"]), st.none() | st.integers(0, 9), max_size=2)
COUNT = st.none() | st.integers(0, 9)
TIME = st.sampled_from([None, 5, "1-00:00:00", "00:01:30", "unlimited"])


def some(required: dict[str, Any], **optional: Any) -> Any:
    return st.fixed_dictionaries({name: st.just(value) for name, value in required.items()}, optional=optional)


def qos_entry(name: str) -> Any:
    limits = some({}, max_jobs_per_user=COUNT, max_tres_per_user=TRES, grp_tres=TRES, max_wall=TIME)
    preempt = st.lists(st.sampled_from(QOS), max_size=2, unique=True)
    flags = st.lists(st.sampled_from(["DenyOnLimit", "noreserve"]), max_size=2, unique=True)
    return some(
        {"name": name},
        priority=st.integers(0, 5),
        preempt=preempt,
        flags=flags,
        grace_time=st.integers(0, 90),
        usage_factor=st.sampled_from([0, 0.5, 1, 2]),
        limits=limits,
    )


def association(**more: Any) -> dict[str, Any]:
    return {
        "fairshare": st.sampled_from(["parent", 1, 5]),
        "qos": st.lists(st.sampled_from(QOS), max_size=3, unique=True),
        "default_qos": st.sampled_from(["", *QOS]),
        "limits": some({}, max_jobs=COUNT, grp_tres=TRES, max_wall=TIME),
        **more,
    }


def account_entry(name: str) -> Any:
    more = association(parent=st.sampled_from(["root", *ACCOUNTS]), description=st.sampled_from(["One", "two words"]))
    return some({"name": name}, **more)


def user_entry(name: str) -> Any:
    memberships = st.lists(
        st.sampled_from(ACCOUNTS).flatmap(
            lambda account: some({"name": account}, **association(partition=st.sampled_from(["", "gpu"])))
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda one: (one["name"], one.get("partition", "")),
    )
    more = {"admin_level": st.sampled_from(["none", "operator"]), "default_account": st.sampled_from(ACCOUNTS)}
    return st.tuples(some({"name": name}, **more), memberships).map(lambda both: {**both[0], "accounts": both[1]})


def some_of(names: list[str], entry: Any) -> Any:
    return st.lists(st.sampled_from(names), unique=True).flatmap(
        lambda chosen: st.tuples(*map(entry, chosen)).map(list)
    )


def mended(declared: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """A random declaration without what could only be refused: names that point nowhere, circles."""
    declared = copy.deepcopy(declared)
    qos = {"normal", *(one["name"] for one in declared["qos"])}
    place = {one["name"]: index for index, one in enumerate(declared["accounts"])}
    for one in declared["qos"]:
        one["preempt"] = [name for name in one.get("preempt", []) if name in qos]
    for one in declared["accounts"]:
        if place.get(one.get("parent"), len(place)) >= place[one["name"]]:
            one["parent"] = "root"
    for one in declared["users"]:
        one["accounts"] = [entry for entry in one["accounts"] if entry["name"] in place]
        if one.get("default_account") not in [entry["name"] for entry in one["accounts"]]:
            one.pop("default_account", None)
    declared["users"] = [one for one in declared["users"] if one["accounts"]]
    for one in [*declared["accounts"], *(entry for user in declared["users"] for entry in user["accounts"])]:
        if "qos" in one:
            one["qos"] = [name for name in one["qos"] if name in qos]
        if one.get("default_qos", "") not in ["", *(one.get("qos") or qos)]:
            one["default_qos"] = ""
    return declared


DECLARATIONS = st.fixed_dictionaries(
    {
        "qos": some_of(QOS[1:], qos_entry),
        "accounts": some_of(ACCOUNTS, account_entry),
        "users": some_of(USERS, user_entry),
    }
).map(mended)


@st.composite
def full_of_qos(draw: st.DrawFn) -> dict[str, Any]:
    """The same accounts and users with any lists of QOS, and defaults that are in them."""

    def place(above: set[str], inherited: str) -> tuple[dict[str, Any], tuple[set[str], str]]:
        own = draw(st.lists(st.sampled_from(QOS), max_size=2, unique=True))
        found = set(own) or above
        nothing = [""] if inherited in ["", *found] else []
        default = draw(st.sampled_from([*nothing, *sorted(found)]))
        return {"qos": own, "default_qos": default}, (found, default or inherited)

    found: dict[str, tuple[set[str], str]] = {"root": ({"normal"}, "")}
    accounts = []
    for name in ACCOUNTS:
        parent = draw(st.sampled_from(sorted(found)))
        entry, has = place(*found[parent])
        accounts.append({"name": name, "parent": parent, **entry})
        found[name] = has
    users = [
        {"name": user, "accounts": [{"name": name, **place(*found[name])[0]} for name in ACCOUNTS[index : index + 2]]}
        for index, user in enumerate(USERS)
    ]
    return {"qos": [{"name": name} for name in QOS[1:]], "accounts": accounts, "users": users}


def client(slurm: FakeSacctmgr) -> AccountingClient:
    seconds = itertools.count()
    return AccountingClient("/b/s", "lab", {}, runner=slurm, clock=lambda: float(next(seconds)), sleep=lambda _s: None)


def run(slurm: FakeSacctmgr, declared: Declaration, *, check_mode: bool = False) -> dict[str, Any]:
    return converge(client(slurm), declared, check_mode=check_mode, exists=lambda _name: True)


def made(declared: dict[str, Any]) -> FakeSacctmgr:
    """A database in which somebody made this."""
    slurm = FakeSacctmgr()
    run_or_skip(slurm, declare(**declared, purge=True))
    slurm.changes.clear()
    return slurm


def run_or_skip(slurm: FakeSacctmgr, declared: Declaration) -> dict[str, Any]:
    """What is refused is refused before the first change, and is no example."""
    before = copy.deepcopy(slurm)
    try:
        foreseen = run(slurm, declared, check_mode=True)
    except DeclarationError:
        assert slurm.changes == before.changes
        assume(False)
    done = run(slurm, declared)
    assert done == foreseen
    return done


def database(slurm: FakeSacctmgr) -> Any:
    return client(slurm).state().things


@given(DECLARATIONS)
def test_what_was_mended_is_no_bad_input(declared: dict[str, Any]) -> None:
    assert accounting_problems(**declared) == []


@THOROUGH
@given(DECLARATIONS, DECLARATIONS, st.booleans())
def test_what_was_declared_is_there_and_stays(old: dict[str, Any], new: dict[str, Any], purge: bool) -> None:
    slurm = made(old)
    declared = declare(**new, purge=purge)
    run_or_skip(slurm, declared)
    things = database(slurm)
    for thing, want in declared.things.items():
        for attribute in fields.OF_KIND[thing.kind]:
            if attribute.name in want:
                have = things[thing][attribute.name]
                assert have == attribute.kind.settle(have, want[attribute.name], purge=purge)
    assert run(slurm, declared)["changed"] is False


@THOROUGH
@given(DECLARATIONS, DECLARATIONS)
def test_nobody_elses_things_are_touched(old: dict[str, Any], new: dict[str, Any]) -> None:
    slurm = made(old)
    before = database(slurm)
    declared = declare(**new, purge=False)
    run_or_skip(slurm, declared)
    after = database(slurm)
    for thing, values in before.items():
        if thing not in declared.things:
            assert after[thing] == values
            continue
        for attribute in fields.OF_KIND[thing.kind]:
            if attribute.name not in declared.things[thing] and attribute.name != "default_account":
                assert after[thing][attribute.name] == values[attribute.name]


@THOROUGH
@given(DECLARATIONS, DECLARATIONS)
def test_purge_leaves_what_is_declared_and_what_slurm_made(old: dict[str, Any], new: dict[str, Any]) -> None:
    slurm = made(old)
    declared = declare(**new, purge=True)
    run_or_skip(slurm, declared)
    assert {thing for thing in database(slurm) if not thing.built_in} == set(declared.things)


@THOROUGH
@given(DECLARATIONS, DECLARATIONS, st.booleans(), st.integers(0, 12))
def test_a_run_that_broke_off_is_finished_by_the_next(
    old: dict[str, Any], new: dict[str, Any], purge: bool, place: int
) -> None:
    straight, broken = made(old), made(old)
    declared = declare(**new, purge=purge)
    run_or_skip(straight, declared)
    broken.fail_at = place
    with contextlib.suppress(ChangeError):
        run(broken, declared)
    assert len(broken.changes) <= place + 1
    broken.fail_at = None
    run(broken, declared)
    assert database(broken) == database(straight)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "state",
                        "parent",
                        "limits",
                        "grp_tres",
                        "accounts",
                        "qos",
                        "default_qos",
                        "fairshare",
                        "max_wall",
                        "x",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_any_input_is_answered_with_words(given_value: Any) -> None:
    entries = given_value if isinstance(given_value, list) else [given_value]
    nothing: list[Any] = []
    for lists in ((entries, nothing, nothing), (nothing, entries, nothing), (nothing, nothing, entries)):
        for problem in accounting_problems(*lists):
            assert isinstance(problem, str)


@THOROUGH
@given(full_of_qos(), full_of_qos(), st.booleans())
def test_no_default_qos_is_lost_on_the_way(old: dict[str, Any], new: dict[str, Any], purge: bool) -> None:
    slurm = made(old)
    declared = declare(**new, purge=purge)
    run(slurm, declared)
    assert run(slurm, declared)["changed"] is False


WORDS = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" \n"), max_size=9)


@given(st.dictionaries(WORDS, st.integers() | WORDS | st.lists(WORDS, max_size=3), max_size=4))
def test_the_diff_is_yaml(shown: dict[str, Any]) -> None:
    assert yaml.safe_load(describe.to_yaml(shown) or "{}") == shown
