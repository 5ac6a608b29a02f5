# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what was asked and what happened. No I/O; each function changes only the memory it is given."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .model import CAPACITY, MARK, PROTECTED_MARK, Instance, Job, Memory, Node, Outcome, Protection, Record, Tally
from .settings import Settings

STARTING, PAUSED = "starting", "paused"


def intend(memory: Memory, names: Iterable[str], now: float) -> dict[str, str]:
    """Note that these nodes are about to be started; returns the token of each start.

    A start that an earlier run began and did not end is gone on with, under its token.
    """
    for name in names:
        if memory.record(name, STARTING) is None:
            token = hashlib.sha256(f"{name} {now!r}".encode()).hexdigest()[:32]
            memory.nodes[name] = Record(STARTING, since=now, token=token)
    return {name: memory.nodes[name].token for name in names}


def stale(memory: Memory, names: Sequence[str], instances: Sequence[Instance]) -> dict[str, list[str]]:
    """Instances that run although their nodes are only now asked for: (node -> ids).

    Slurm waits for a boot after its request, so these are stopped first; not those of a start that an earlier
    run began.
    """
    found: dict[str, list[str]] = {}
    for one in instances:
        if one.alive and one.node in names and memory.record(one.node, STARTING) is None:
            found.setdefault(one.node, []).append(one.id)
    return found


@dataclass
class Verdict:
    """What a start came to."""

    started: dict[str, Outcome] = field(default_factory=dict)
    failed: dict[str, Outcome] = field(default_factory=dict)
    # Started, but of use to none but jobs that cannot run now: node -> id of such a job.
    companions: dict[str, int] = field(default_factory=dict)


def judge(outcomes: Mapping[str, Outcome], jobs: Sequence[Job]) -> Verdict:
    """All or nothing for each job: where one of its nodes failed, the others that serve no other job are given up."""
    verdict = Verdict(failed={name: one for name, one in outcomes.items() if not one.ok})
    hit = [job for job in jobs if job.nodes & set(verdict.failed)]
    served: set[str] = set()
    for job in jobs:
        if job not in hit:
            served |= job.nodes
    for name, outcome in outcomes.items():
        if not outcome.ok:
            continue
        reason = next((job.id for job in hit if name in job.nodes), None)
        if reason is None or name in served:
            verdict.started[name] = outcome
        else:
            verdict.companions[name] = reason
    return verdict


def addresses(started: Mapping[str, Outcome], nodes: Mapping[str, Node]) -> dict[str, tuple[str, str]]:
    """What Slurm must be told of where nodes are: (address, host name), where it differs from what it knows."""
    found = {}
    for name, outcome in started.items():
        known = nodes.get(name)
        address = outcome.address or (known.address if known else name)
        hostname = outcome.hostname or (known.hostname if known else name)
        if known and (address, hostname) != (known.address, known.hostname):
            found[name] = (address, hostname)
    return found


def observe(memory: Memory, nodes: Mapping[str, Node]) -> list[str]:
    """Nodes that were being started and are up now: a success ends the row of failures of their partitions."""
    came = sorted(
        name for name, one in memory.nodes.items() if one.phase == STARTING and name in nodes and nodes[name].up
    )
    for name in came:
        del memory.nodes[name]
        for partition in nodes[name].partitions:
            memory.tallies.pop(partition, None)
    return came


def clock_words(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def pause(memory: Memory, settings: Settings, failed: Mapping[str, Outcome], now: float) -> dict[str, str]:
    """Keep failed nodes out of service for a while; returns the reason of each in words."""
    reasons = {}
    for name, outcome in failed.items():
        length = settings.capacity_pause if outcome.kind == CAPACITY else settings.retry_pause
        said = " ".join(outcome.message.split())[:160] or "no more was said"
        reasons[name] = f"{MARK} {outcome.kind}: {said}; tried again from {clock_words(now + length)}"
        memory.nodes[name] = Record(PAUSED, since=now, back_at=now + length, reason=reasons[name])
    return reasons


def count(
    memory: Memory, settings: Settings, failed: Mapping[str, Outcome], nodes: Mapping[str, Node], now: float
) -> list[str]:
    """Count failures in a row; returns partitions that are protected from now on.

    A lack of capacity is no failure of ours: it pauses nodes and is not counted. Everything else is.
    """
    newly = []
    for name in sorted(failed):
        outcome = failed[name]
        if outcome.kind == CAPACITY or name not in nodes:
            continue
        for partition in nodes[name].partitions:
            tally = memory.tallies.setdefault(partition, Tally())
            tally.count += 1
            tally.last = f"{name}: {outcome.kind}: {' '.join(outcome.message.split())[:160]}"
            if tally.count >= settings.failures and partition not in memory.protected:
                memory.protected[partition] = Protection(
                    since=now,
                    message=f"{tally.count} starts in a row failed, the last of {tally.last}; no node is started until "
                    f"an admin says: llmops-elastic unprotect {partition}",
                )
                newly.append(partition)
    return newly


def protection(memory: Memory, node: Node) -> str:
    """The reason why a node must not be started, or nothing."""
    for partition in node.partitions:
        if partition in memory.protected:
            return f"{PROTECTED_MARK} partition {partition}: {memory.protected[partition].message}"
    return ""
