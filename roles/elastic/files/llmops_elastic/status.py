# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .decide import clock_words
from .model import Instance, Memory, Node
from .settings import Settings


def text(
    memory: Memory, settings: Settings, nodes: Mapping[str, Node], instances: Sequence[Instance], now: float
) -> str:
    """Protected partitions first, then failures in a row, then a line for each node."""
    lines: list[str] = []
    for partition, one in sorted(memory.protected.items()):
        lines.append(f"PROTECTED since {clock_words(one.since)}: partition {partition}: {one.message}")
    for partition, tally in sorted(memory.tallies.items()):
        lines.append(
            f"partition {partition}: {tally.count} of {settings.failures} failures in a row; last {tally.last}"
        )
    alive: dict[str, list[str]] = {}
    for instance in instances:
        if instance.alive:
            alive.setdefault(instance.node, []).append(instance.id)
    width = max([len("node"), *map(len, settings.nodes)])
    lines.append(f"{'node':<{width}}  {'slurm':<28}  {'instance':<20}  remark")
    for name in sorted(settings.nodes):
        state = "+".join(sorted(nodes[name].flags)) if name in nodes else "unknown to Slurm"
        remark = _remark(memory, nodes.get(name), name, now)
        lines.append(f"{name:<{width}}  {state:<28}  {','.join(alive.get(name, ['-'])):<20}  {remark}".rstrip())
    lines += [
        f"{node}  no elastic node of this cluster: {', '.join(ids)}"
        for node, ids in sorted(alive.items())
        if node not in settings.nodes
    ]
    return "\n".join(lines)


def _remark(memory: Memory, node: Node | None, name: str, now: float) -> str:
    if memory.held(name, now):
        return f"kept running until {clock_words(memory.holds[name])}, a playbook is at work"
    record = memory.nodes.get(name)
    if record and record.reason:
        return record.reason
    if record:
        return f"{record.phase} since {clock_words(record.since)}"
    return node.reason if node and node.reason and node.reason.lower() != "(null)" else ""
