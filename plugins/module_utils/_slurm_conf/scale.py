# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that follow from the number of nodes, each with where its rule is from. Private to this collection.

What is not here follows from no rule that Slurm's documentation gives: SlurmdTimeout is 300 s at any size (for really
large clusters "120 seconds or more are reasonable", big_sys.html), EpilogMsgTime spreads messages by the node's number
(slurm.conf(5)), slurmctld itself makes MaxDBDMsgs from the number of nodes (slurm.conf(5)), MaxJobCount is about jobs.
"""

from __future__ import annotations

import typing as t

# Slurm's own limit (slurm.conf(5), MaxNodeCount).
MAX_NODES: t.Final = 65536
# "specifically for clusters containing 1,024 nodes or more" (big_sys.html, Large Cluster Administration Guide).
LARGE: t.Final = 1024
_DEFAULT_WIDTH: t.Final = 16


class Rule(t.NamedTuple):
    """A setting from the number of nodes on; why stands in slurm.conf above it."""

    key: str
    nodes: int
    value: t.Callable[[int], int]
    why: str


def reach(width: int) -> int:
    """Nodes that slurmctld reaches with three hops of messages."""
    return width + width**2 + width**3


def tree_width(nodes: int) -> int:
    """The least width, not below Slurm's default, with which three hops reach all nodes.

    slurm.conf(5), TreeWidth: 16 by default, "4368 nodes can be contacted with three message hops [...] on bigger
    systems this value can be increased to avoid long timeouts and retransmissions". That is the cube root, which
    big_sys.html names as the optimum for large systems.
    """
    width = _DEFAULT_WIDTH
    while reach(width) < nodes:
        width += 1
    return width


RULES: t.Final = (
    Rule("TreeWidth", reach(_DEFAULT_WIDTH) + 1, tree_width, "all nodes in three hops (slurm.conf(5), TreeWidth)"),
    # high_throughput.html: "its responsiveness is load dependent. This value might need to be increased somewhat"; 60 s
    # is what AWS ParallelCluster sets for its clusters (slurm.conf of aws-parallelcluster-cookbook).
    Rule("MessageTimeout", LARGE, lambda _nodes: 60, "slurmctld answers slower under load (high_throughput.html)"),
    # big_sys.html: "configure the sampling interval to a relatively large size (e.g. JobAcctGatherFrequency=300)".
    Rule("JobAcctGatherFrequency", LARGE, lambda _nodes: 300, "fewer samples, less system noise (big_sys.html)"),
)


def derived(nodes: int) -> dict[str, tuple[int, str]]:
    """Setting -> its value and why, for so many nodes."""
    return {rule.key: (rule.value(nodes), rule.why) for rule in RULES if nodes >= rule.nodes}
