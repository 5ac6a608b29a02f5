# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of nodes, of the instances behind them and of the jobs that want them."""

from __future__ import annotations

from dataclasses import dataclass, field

# Every reason that this program gives Slurm begins with it, so that it takes back only what it did itself.
MARK = "elastic:"
PROTECTED_MARK = f"{MARK} protected:"

OK = "ok"
CAPACITY = "capacity"
THROTTLED = "throttled"
PERMANENT = "permanent"
# Not a word of a driver: it crashed, timed out or answered with what is no answer.
BROKEN = "broken"


@dataclass(frozen=True)
class Node:
    """A node as Slurm tells it."""

    name: str
    flags: frozenset[str]
    address: str = ""
    hostname: str = ""
    partitions: tuple[str, ...] = ()
    reason: str = ""

    @property
    def powered_down(self) -> bool:
        return "POWERED_DOWN" in self.flags

    @property
    def powering_up(self) -> bool:
        return "POWERING_UP" in self.flags

    @property
    def powering_down(self) -> bool:
        return "POWERING_DOWN" in self.flags

    @property
    def down(self) -> bool:
        return "DOWN" in self.flags

    @property
    def drained(self) -> bool:
        return "DRAIN" in self.flags

    @property
    def silent(self) -> bool:
        return "NOT_RESPONDING" in self.flags

    @property
    def waiting(self) -> bool:
        """Off, and Slurm may ask for it."""
        return self.powered_down and not (self.down or self.drained)

    @property
    def up(self) -> bool:
        return not (self.powered_down or self.powering_up or self.powering_down or self.down or self.silent)


@dataclass(frozen=True)
class Instance:
    """What the driver has running for a node."""

    node: str
    id: str
    alive: bool
    address: str = ""
    started: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of one node in a call of the driver."""

    kind: str
    message: str = ""
    instance: str = ""
    address: str = ""
    hostname: str = ""

    @property
    def ok(self) -> bool:
        return self.kind == OK


@dataclass(frozen=True)
class Job:
    """A job that waits for nodes, and all the nodes it has."""

    id: int
    nodes: frozenset[str]


@dataclass
class Record:
    """What this program remembers of a node between a start and its end."""

    # starting: the driver was asked; paused: it failed and stays down until `back_at`.
    phase: str
    since: float
    # The same for every try of one start: a driver gives it to a cloud as its client token.
    token: str = ""
    # The driver said ok: what remains is Slurm's to time.
    accepted: bool = False
    back_at: float = 0.0
    reason: str = ""


@dataclass
class Tally:
    """Failures in a row of a partition."""

    count: int = 0
    last: str = ""


@dataclass
class Protection:
    """Since when and why no node of a partition is started."""

    since: float
    message: str


@dataclass
class Memory:
    """All that is remembered."""

    nodes: dict[str, Record] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    protected: dict[str, Protection] = field(default_factory=dict)
    # Nodes that a playbook works on, and until when they must not be stopped.
    holds: dict[str, float] = field(default_factory=dict)
    # Nodes that Slurm waits for and of which no resume told us, and when a sweep first saw that.
    waiting: dict[str, float] = field(default_factory=dict)

    def held(self, node: str, now: float) -> bool:
        return self.holds.get(node, 0.0) > now

    def record(self, node: str, phase: str) -> Record | None:
        """The record of a node when it is in this phase."""
        found = self.nodes.get(node)
        return found if found and found.phase == phase else None
