# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from llmops_elastic.decide import PAUSED, STARTING
from llmops_elastic.model import Instance, Memory, Node, Protection, Record
from llmops_elastic.sweep import plan, waiting

from tests.unit.roles.elastic.elastic_fakes import BOOTING, OFF, UP, node, settings

NOW = 1000.0
SETTINGS = settings("a", "b")
RUNS = [Instance("a", "i-1", True, "10.0.0.1", 1.0)]
PROTECTED = {"gpu": Protection(1.0, "many failures")}
DOWN = {"DOWN", "CLOUD"}


def summary(memory: Memory, one: Node, instances: list[Instance]) -> dict[str, object]:
    made = plan(memory, SETTINGS, {one.name: one}, instances, NOW)
    return {key: value for key, value in vars(made).items() if value and key != "why"}


@pytest.mark.parametrize(
    ("flags", "instances", "record", "expected"),
    [
        pytest.param(OFF, RUNS, None, {"stop": {"a": ["i-1"]}}, id="an instance of a node that is off"),
        pytest.param(OFF, [], None, {}, id="off and nothing runs"),
        pytest.param(UP, RUNS, None, {}, id="on and it runs"),
        pytest.param(OFF, [Instance("a", "i-9", False)], None, {}, id="an instance that is gone already"),
        pytest.param(OFF, RUNS, Record(STARTING, 990), {"stop": {"a": ["i-1"]}}, id="Slurm gave it up"),
        pytest.param(BOOTING, RUNS, Record(STARTING, 100), {}, id="booting is Slurm's to time"),
        pytest.param(BOOTING, [], Record(STARTING, 990), {}, id="just asked for"),
        pytest.param(BOOTING, [], Record(STARTING, 900), {"start": ["a"]}, id="a start that was killed"),
        pytest.param(BOOTING, [], Record(STARTING, 900, accepted=True), {}, id="a start that died is Slurm's to time"),
        pytest.param(BOOTING, [], None, {}, id="resume may be about to be called"),
        pytest.param(DOWN, [], Record(PAUSED, 900, back_at=1100), {}, id="paused"),
        pytest.param(DOWN, RUNS, Record(PAUSED, 900, back_at=1100), {"stop": {"a": ["i-1"]}}, id="paused but runs"),
        pytest.param(DOWN, [], Record(PAUSED, 900, back_at=1000), {"power_down": ["a"]}, id="a pause is over"),
        pytest.param({"DOWN", "NOT_RESPONDING"}, RUNS, None, {}, id="silent but it runs: for an admin"),
        pytest.param({"IDLE", "NOT_RESPONDING"}, [], None, {"power_down": ["a"]}, id="its instance is gone"),
        pytest.param({"IDLE", "POWERING_DOWN"}, RUNS, None, {}, id="powering down is Slurm's to time"),
    ],
)
def test_one_node(flags: set[str], instances: list[Instance], record: Record | None, expected: object) -> None:
    memory = Memory(nodes={"a": record} if record else {})
    assert summary(memory, node("a", flags), instances) == expected


@pytest.mark.parametrize(
    ("reason", "flags", "back"),
    [
        pytest.param("elastic: broken: x", DOWN, True, id="ours, forgotten"),
        pytest.param("elastic: broken: x", DOWN | {"POWERING_UP"}, True, id="ours, set down while it booted"),
        pytest.param("ResumeTimeout reached", DOWN | {"POWERED_DOWN"}, True, id="Slurm's own"),
        pytest.param("Not responding", DOWN, True, id="gone"),
        pytest.param("fan is broken", DOWN, False, id="an admin's"),
        pytest.param("fan is broken", DOWN | {"POWERED_DOWN"}, False, id="an admin's, off"),
    ],
)
def test_what_an_admin_set_down_stays_down(reason: str, flags: set[str], back: bool) -> None:
    found = summary(Memory(), node("a", flags, reason=reason), [])
    assert found == ({"power_down": ["a"]} if back else {})


def test_orphans_without_a_node_and_twins() -> None:
    nodes = {"a": node("a", UP, address="10.0.0.1"), "static": node("static", OFF)}
    some = [
        *RUNS,
        Instance("a", "i-2", True, "10.0.0.2", 2.0),
        Instance("ghost", "i-3", True),
        Instance("static", "i-4", True),
    ]
    made = plan(Memory(), SETTINGS, nodes, some, NOW)
    assert made.stop == {"a": ["i-2"], "ghost": ["i-3"]}
    assert made.why == {"a": "its node has the instance i-1", "ghost": "Slurm has no such node"}


def test_what_a_playbook_works_on_is_left_alone() -> None:
    memory = Memory(holds={"a": NOW + 1})
    assert summary(memory, node("a", OFF), RUNS) == {}
    memory.holds["a"] = NOW
    assert summary(memory, node("a", OFF), RUNS) == {"stop": {"a": ["i-1"]}}


def test_a_start_that_never_began() -> None:
    memory, nodes = Memory(), {"a": node("a", BOOTING), "b": node("b", UP)}
    memory.waiting = waiting(memory, nodes, SETTINGS.nodes, 930.0)
    assert memory.waiting == {"a": 930.0}
    assert summary(memory, nodes["a"], []) == {"start": ["a"]}
    memory.waiting = waiting(memory, nodes, SETTINGS.nodes, 950.0)
    assert memory.waiting == {"a": 930.0}
    memory.nodes["a"] = Record(STARTING, 960)
    assert waiting(memory, nodes, SETTINGS.nodes, 960.0) == {}


def test_protection_holds_and_ends() -> None:
    shielded = Memory(protected=PROTECTED)
    words = "elastic: protected: partition gpu: many failures"
    assert summary(shielded, node("a", OFF), []) == {"drain": {"a": words}}
    drained = node("a", OFF | {"DRAIN"}, reason=words)
    assert summary(shielded, drained, []) == {}
    assert summary(Memory(), drained, []) == {"undrain": ["a"]}
    paused = Memory(protected=PROTECTED, nodes={"a": Record(PAUSED, 1, back_at=2)})
    assert summary(paused, node("a", DOWN, reason="elastic: broken"), []) == {"drain": {"a": words}}
    assert summary(paused, node("a", DOWN | {"DRAIN"}, reason=words), []) == {}
    by_hand = node("a", OFF | {"DRAIN"}, reason="fan is broken")
    assert summary(Memory(), by_hand, []) == {}
    assert summary(shielded, node("a", UP), RUNS) == {}
