# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What shall happen to the node. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

PREFIX = "node_health: "
SUFFIX = " (resumes by itself)"
LONGEST = 300
# Whoever brought a node into one of these states (an admin, Slurm, a cloud) also brings it out.
NOT_OURS = frozenset(
    (
        *("DOWN", "ERROR", "FAIL", "FUTURE", "INVALID_REG", "NOT_RESPONDING", "UNKNOWN"),
        *("POWERED_DOWN", "POWERING_DOWN", "POWERING_UP", "POWER_DOWN", "POWER_UP"),
        *("REBOOT", "REBOOT_ISSUED", "REBOOT_REQUESTED"),
    )
)


class Node(NamedTuple):
    """A node as slurmctld has it."""

    state: frozenset[str]
    reason: str
    gres: str


class Action(NamedTuple):
    """What to ask of slurmctld: "drain" with a reason, "resume", or "leave" it as it is, and why."""

    what: str
    text: str


def parse_node(text: str, name: str) -> Node:
    """A node from `scontrol show node NAME --json`; ValueError when it is not in there."""
    nodes = [node for node in json.loads(text).get("nodes", []) if node.get("name") == name]
    if not nodes:
        raise ValueError(f"scontrol shows no node {name}")
    state = nodes[0].get("state") or []
    words = state.split("+") if isinstance(state, str) else state
    return Node(frozenset(words), str(nodes[0].get("reason") or ""), str(nodes[0].get("gres") or ""))


def reason_of(reasons: Sequence[str]) -> str:
    """The reason of the node for people who read sinfo -R, in one line of plain characters."""
    room = LONGEST - len(PREFIX) - len(SUFFIX)
    clean = [re.sub(r"[^ -~]|[\"'\\\\|]", "?", reason) for reason in dict.fromkeys(reasons)]
    shown: list[str] = []
    for reason in clean:
        more = f"; and {len(clean) - len(shown)} more"
        if shown and len("; ".join([*shown, reason])) + len(more) > room:
            return PREFIX + "; ".join(shown) + more + SUFFIX
        shown.append(reason[: room - len(more)])
    return PREFIX + "; ".join(shown) + SUFFIX


def is_ours(reason: str) -> bool:
    """Whether a reason is one of ours, all of it: Slurm and people may have added a word of their own."""
    return reason.startswith(PREFIX) and reason.endswith(SUFFIX) and reason.count(PREFIX) == 1


def decide(node: Node, reasons: Sequence[str], whole: bool = True) -> Action:
    """Drain a sick node, resume it when it is well, and touch no drain of anybody else.

    Reasons that are not the `whole` of what there may be take no place of those of a health check.
    """
    foreign = sorted(node.state & NOT_OURS)
    drained, ours = "DRAIN" in node.state, is_ours(node.reason)
    if foreign:
        return Action("leave", f"it is {'+'.join(foreign)}, which is not the health check's")
    if drained and not ours:
        return Action("leave", f"somebody else drained it: {node.reason or 'no reason given'}")
    if drained and not whole:
        return Action("leave", node.reason)
    if reasons:
        wanted = reason_of(reasons)
        return Action("leave", wanted) if drained and node.reason == wanted else Action("drain", wanted)
    return Action("resume", node.reason) if drained else Action("leave", "it is well")
