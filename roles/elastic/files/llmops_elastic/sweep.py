# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went astray between Slurm and the driver, and what mends it. No I/O.

Instances are listed before Slurm is asked, and both under the lock: an instance that runs while Slurm says that its
node is off was not started by a resume that is still at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .decide import PAUSED, STARTING, protection
from .model import MARK, PROTECTED_MARK, Instance, Memory, Node
from .settings import Settings

# Beginnings of the reasons for which a node is down without a person's word. What an admin set down stays down.
AUTOMATIC = (MARK, "spot:", "Not responding", "ResumeTimeout reached", "Node unexpectedly rebooted")


@dataclass
class Plan:
    """What a sweep does, each with its reason."""

    # node -> ids; why by the same name
    stop: dict[str, list[str]] = field(default_factory=dict)
    start: list[str] = field(default_factory=list)
    # Given back to the pool.
    power_down: list[str] = field(default_factory=list)
    drain: dict[str, str] = field(default_factory=dict)
    undrain: list[str] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)


def plan(
    memory: Memory, settings: Settings, nodes: Mapping[str, Node], instances: Sequence[Instance], now: float
) -> Plan:
    """Compare the three views."""
    made = Plan()
    alive: dict[str, list[Instance]] = {}
    for one in instances:
        if one.alive:
            alive.setdefault(one.node, []).append(one)
    for name in sorted(alive):
        _instances(made, memory, settings, nodes.get(name), alive[name], now)
    for name in sorted(settings.nodes):
        if name in nodes and not memory.held(name, now):
            _node(made, memory, settings, nodes[name], name in alive, now)
    return made


def _instances(
    made: Plan, memory: Memory, settings: Settings, node: Node | None, some: Sequence[Instance], now: float
) -> None:
    """Orphans: instances whose node is off, unknown, or has another instance."""
    name = some[0].node
    ids = [one.id for one in some]
    if node is None:
        made.stop[name], made.why[name] = ids, "Slurm has no such node"
    elif name not in settings.nodes or memory.held(name, now):
        return
    elif node.powered_down:
        made.stop[name], made.why[name] = ids, "its node is powered down"
    elif memory.record(name, PAUSED):
        made.stop[name], made.why[name] = ids, "its node is down for a while"
    elif len(some) > 1:
        best = max(some, key=lambda one: (one.address == node.address, one.started, one.id))
        made.stop[name] = [one.id for one in some if one is not best]
        made.why[name] = f"its node has the instance {best.id}"


def _node(made: Plan, memory: Memory, settings: Settings, node: Node, alive: bool, now: float) -> None:
    """Nodes that are stuck."""
    reason = protection(memory, node)
    if node.drained and node.reason.startswith(PROTECTED_MARK) and not reason:
        made.undrain.append(node.name)
        made.why[node.name] = "its partition is no longer protected"
    elif reason and not node.drained and (node.powered_down or memory.record(node.name, PAUSED)):
        made.drain[node.name] = reason
    elif _wants_a_start(memory, settings, node, alive, now):
        made.start.append(node.name)
        made.why[node.name] = "Slurm waits for it and nothing runs for it"
    else:
        why = _back_to_the_pool(memory, node, alive, now)
        if why:
            made.power_down.append(node.name)
            made.why.setdefault(node.name, why)


def _wants_a_start(memory: Memory, settings: Settings, node: Node, alive: bool, now: float) -> bool:
    """A run of resume that was killed before it came to the driver."""
    if not awaited(node) or alive:
        return False
    begun = memory.record(node.name, STARTING)
    if begun and begun.accepted:
        return False
    # Slurm marks its nodes before it calls resume, which may be about to take the lock.
    since = begun.since if begun else memory.waiting.get(node.name, now)
    return since + settings.start_grace <= now


def awaited(node: Node) -> bool:
    """Slurm waits for its boot."""
    return node.powering_up and not (node.powered_down or node.down)


def waiting(memory: Memory, nodes: Mapping[str, Node], names: Iterable[str], now: float) -> dict[str, float]:
    """Since when which nodes are waited for without a record of their start."""
    return {
        name: memory.waiting.get(name, now)
        for name in sorted(names)
        if name in nodes and awaited(nodes[name]) and name not in memory.nodes
    }


def _back_to_the_pool(memory: Memory, node: Node, alive: bool, now: float) -> str:
    paused = memory.record(node.name, PAUSED)
    if paused:
        over = paused.back_at <= now and not protection(memory, node)
        return "its pause is over" if over else ""
    if node.powering_down or awaited(node):
        return ""
    if node.down and not node.reason.startswith(AUTOMATIC):
        return ""
    if node.down and (node.powered_down or node.reason.startswith(MARK)):
        return "it is down and nothing would bring it back"
    if (node.down or node.silent) and not node.powered_down and not alive:
        return "its instance is gone"
    return ""
