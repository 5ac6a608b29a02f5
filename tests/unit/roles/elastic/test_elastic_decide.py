# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from llmops_elastic import decide
from llmops_elastic.model import Instance, Job, Memory, Outcome, Record, Tally

from tests.unit.roles.elastic.elastic_fakes import OFF, UP, node, settings

GOOD = Outcome("ok")
NONE_LEFT = Outcome("capacity", "none left")


def job(number: int, *names: str) -> Job:
    return Job(number, frozenset(names))


@pytest.mark.parametrize(
    ("bad", "jobs", "failed", "companions"),
    [
        pytest.param("", [job(1, "a", "b")], "", {}, id="all came"),
        pytest.param("b", [job(1, "a", "b")], "b", {"a": 1}, id="one of a job's nodes failed"),
        pytest.param("b", [job(1, "a", "b"), job(2, "c")], "b", {"a": 1}, id="another job is not touched"),
        pytest.param("b", [job(1, "a", "b"), job(2, "a", "c")], "b", {}, id="a node that serves another job stays"),
        pytest.param("b", [], "b", {}, id="without jobs each node stands for itself"),
        pytest.param("bc", [job(1, "a", "b"), job(2, "a", "c")], "bc", {"a": 1}, id="of use to neither"),
        pytest.param("b", [job(1, "a", "b", "x")], "b", {"a": 1}, id="a job with nodes that are on already"),
    ],
)
def test_all_or_nothing(bad: str, jobs: list[Job], failed: str, companions: dict[str, int]) -> None:
    verdict = decide.judge({name: NONE_LEFT if name in bad else GOOD for name in "abc"}, jobs)
    assert "".join(sorted(verdict.failed)) == failed
    assert verdict.companions == companions
    assert set(verdict.started) == set("abc") - set(verdict.failed) - set(companions)


def test_a_start_that_was_broken_off_goes_on_under_its_token() -> None:
    memory = Memory()
    first = decide.intend(memory, ["a"], 1.0)
    assert decide.intend(memory, ["a", "b"], 2.0)["a"] == first["a"]
    memory.nodes["a"].phase = decide.PAUSED
    assert decide.intend(memory, ["a"], 3.0)["a"] != first["a"]


def test_only_instances_of_an_earlier_time_are_stale() -> None:
    memory = Memory(nodes={"b": Record(decide.STARTING, since=1)})
    running = [Instance("a", "i-1", True), Instance("b", "i-2", True), Instance("a", "i-3", False)]
    assert decide.stale(memory, ["a", "b"], running) == {"a": ["i-1"]}


def test_addresses_are_told_only_where_they_differ() -> None:
    nodes = {"a": node("a"), "b": node("b", address="10.0.0.2"), "c": node("c")}
    started = {
        "a": Outcome("ok", address="10.0.0.1", hostname="ip-1"),
        "b": Outcome("ok", address="10.0.0.2"),
        "c": GOOD,
        "stranger": Outcome("ok", address="10.0.0.4"),
    }
    assert decide.addresses(started, nodes) == {"a": ("10.0.0.1", "ip-1")}


def test_a_success_ends_the_row_of_its_partitions() -> None:
    memory = Memory(
        nodes={"a": Record(decide.STARTING, 1), "b": Record(decide.STARTING, 1)},
        tallies={"gpu": Tally(2, "x"), "other": Tally(1, "y")},
    )
    assert decide.observe(memory, {"a": node("a", UP), "b": node("b", OFF)}) == ["a"]
    assert list(memory.nodes) == ["b"]
    assert list(memory.tallies) == ["other"]


@pytest.mark.parametrize(
    ("kinds", "counted", "protected"),
    [
        pytest.param(["broken", "permanent"], 2, False, id="below"),
        pytest.param(["broken", "permanent", "throttled"], 3, True, id="every kind counts"),
        pytest.param(["capacity"] * 5, 0, False, id="but a lack of capacity"),
    ],
)
def test_failures_in_a_row(kinds: list[str], counted: int, protected: bool) -> None:
    memory = Memory()
    newly: list[str] = []
    for kind in kinds:
        newly += decide.count(memory, settings("a"), {"a": Outcome(kind, "no\nimage")}, {"a": node("a")}, 5.0)
    assert (memory.tallies["gpu"].count if "gpu" in memory.tallies else 0) == counted
    assert newly == (["gpu"] if protected else [])
    reason = decide.protection(memory, node("a"))
    assert bool(reason) == protected
    if protected:
        assert reason == (
            "elastic: protected: partition gpu: 3 starts in a row failed, the last of a: throttled: no image; no node "
            "is started until an admin says: llmops-elastic unprotect gpu"
        )


def test_a_pause_has_its_reason_and_its_end() -> None:
    memory = Memory()
    reasons = decide.pause(memory, settings("a", "b"), {"a": NONE_LEFT, "b": Outcome("broken", "")}, 100.0)
    assert reasons["a"].startswith("elastic: capacity: none left; tried again from ")
    assert reasons["b"].startswith("elastic: broken: no more was said; tried again from ")
    assert (memory.nodes["a"].back_at, memory.nodes["b"].back_at) == (700.0, 400.0)
