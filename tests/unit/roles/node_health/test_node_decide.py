# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a node is drained, resumed and left alone."""

from __future__ import annotations

import json

import pytest
from ansible_collections.llmops.cluster.roles.node_health.files.node_health.decide import (
    LONGEST,
    NOT_OURS,
    Action,
    Node,
    decide,
    is_ours,
    parse_node,
    reason_of,
)

FULL = "disk full: / has 9 MiB free, 100 wanted"
OURS = f"node_health: {FULL} (resumes by itself)"


def node(state: str, reason: str = "") -> Node:
    return Node(frozenset(state.split("+")), reason, "gpu:l4:2")


@pytest.mark.parametrize(
    ("state", "reason", "reasons", "action"),
    [
        pytest.param("IDLE", "", [], Action("leave", "it is well"), id="well"),
        pytest.param("IDLE", "", [FULL], Action("drain", OURS), id="idle-and-sick"),
        pytest.param("MIXED", "", [FULL], Action("drain", OURS), id="busy-and-sick"),
        # Slurm keeps the reason of a node that was resumed until there is another.
        pytest.param("IDLE", "an old reason", [FULL], Action("drain", OURS), id="sick-with-an-old-reason"),
        pytest.param("IDLE+DRAIN", OURS, [FULL], Action("leave", OURS), id="drained-by-us-and-still-sick"),
        pytest.param(
            "MIXED+DRAIN",
            OURS,
            [FULL, "mount gone: /m"],
            Action("drain", f"node_health: {FULL}; mount gone: /m (resumes by itself)"),
            id="sicker",
        ),
        pytest.param("IDLE+DRAIN", OURS, [], Action("resume", OURS), id="drained-by-us-and-well"),
        pytest.param(
            "IDLE+DRAIN", "fan", [], Action("leave", "somebody else drained it: fan"), id="drained-by-an-admin"
        ),
        pytest.param("IDLE+DRAIN", "fan", [FULL], Action("leave", "somebody else drained it: fan"), id="sick-too"),
        pytest.param(
            "IDLE+DRAIN",
            f"{OURS}, Low RealMemory",
            [],
            Action("leave", f"somebody else drained it: {OURS}, Low RealMemory"),
            id="slurm-added-a-reason",
        ),
        pytest.param(
            "IDLE+DRAIN", "", [], Action("leave", "somebody else drained it: no reason given"), id="no-reason"
        ),
    ],
)
def test_what_happens(state: str, reason: str, reasons: list[str], action: Action) -> None:
    assert decide(node(state, reason), reasons) == action


@pytest.mark.parametrize(
    ("state", "reason", "reasons", "what"),
    [
        pytest.param("IDLE", "", [FULL], "drain", id="sick"),
        pytest.param("IDLE+DRAIN", OURS, [], "leave", id="well-as-far-as-it-saw"),
        pytest.param("IDLE+DRAIN", OURS, ["mount gone: /m"], "leave", id="drained-for-another-reason"),
        pytest.param("IDLE+DRAIN", "fan", [FULL], "leave", id="drained-by-an-admin"),
    ],
)
def test_what_happens_after_a_quick_look(state: str, reason: str, reasons: list[str], what: str) -> None:
    assert decide(node(state, reason), reasons, whole=False).what == what


@pytest.mark.parametrize("foreign", sorted(NOT_OURS))
@pytest.mark.parametrize("reasons", [[], [FULL]], ids=["well", "sick"])
def test_states_that_are_not_ours(foreign: str, reasons: list[str]) -> None:
    words = f"it is {foreign}, which is not the health check's"
    assert decide(node(f"{foreign}+DRAIN", OURS), reasons) == Action("leave", words)


def test_a_reason_is_one_line_of_plain_characters() -> None:
    assert reason_of(['a "b"\n', "\u00e9|", "c", "c"]) == "node_health: a ?b??; ??; c (resumes by itself)"


def test_a_long_reason_is_cut_between_faults() -> None:
    text = reason_of([f"fault number {number:02d} of this node" for number in range(30)])
    assert len(text) <= LONGEST
    assert text.endswith("; and 22 more (resumes by itself)")
    assert is_ours(text)
    assert len(reason_of(["x" * 1000])) <= LONGEST


def test_a_node_is_read_from_json() -> None:
    text = json.dumps(
        {"nodes": [{"name": "gpu1", "state": ["IDLE", "DRAIN"], "reason": OURS, "gres": "gpu:l4:2", "more": 1}]}
    )
    assert parse_node(text, "gpu1") == Node(frozenset({"IDLE", "DRAIN"}), OURS, "gpu:l4:2")


@pytest.mark.parametrize("text", ['{"nodes": []}', '{"nodes": [{"name": "gpu10"}]}', "{}"])
def test_a_node_that_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"^scontrol shows no node gpu1$"):
        parse_node(text, "gpu1")
