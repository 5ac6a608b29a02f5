# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2 and Slurm say, and what follows from it. No I/O."""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

# Every reason of ours begins with it.
PREFIX = "spot: "
# A drain that its maker ends by itself must not end now.
PASSING = ("node_health: ",)
_DOES = {
    "terminate": "takes this instance back",
    "stop": "stops this instance",
    "hibernate": "hibernates this instance",
}


class Notice(NamedTuple):
    """EC2's word that this instance goes."""

    action: str
    # Seconds since 1970.
    at: float


class Node(NamedTuple):
    """This node as slurmctld has it."""

    drained: bool
    reason: str


class Job(NamedTuple):
    """A job on this node."""

    id: str
    # Slurm may start it again elsewhere.
    moves: bool
    # It is on no other node.
    alone: bool = True


def parse_notice(text: str) -> Notice:
    """The document spot/instance-action; ValueError when it is none."""
    try:
        found = json.loads(text)
        return Notice(str(found["action"]), _moment(found["time"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the notice is none ({error!r}): {text[:200]!r}") from error


def _moment(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def clock(moment: float) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(moment))


def reason(notice: Notice) -> str:
    """Of the drain, for people who read sinfo -R."""
    does = _DOES.get(notice.action, f"wants to {re.sub('[^a-z]', '', notice.action)[:20]} this instance")
    return f"{PREFIX}EC2 {does} at {clock(notice.at)}"


def parse_node(text: str) -> Node:
    """The node of `scontrol --oneliner show node NAME`; ValueError when it is not in there."""
    state = re.search(r"(?:^| )State=(\S+)", text)
    if not state:
        raise ValueError(f"scontrol shows no state: {text[:200]!r}")
    words = re.search(r" Reason=(.*?)(?: \[[^\]]*@[^\]]*\])?(?: Comment=.*| Extra=.*| InstanceId=.*)?$", text.strip())
    return Node("DRAIN" in state.group(1).split("+"), words.group(1) if words else "")


def needs_drain(node: Node, wanted: str) -> bool:
    """A drain of a person stays as it is, with its reason: it does what is needed."""
    if not node.drained:
        return True
    return node.reason != wanted and node.reason.startswith((PREFIX, *PASSING))


def parse_jobs(text: str) -> list[Job]:
    """Jobs from the lines "ID REQUEUE BATCH NODES" of squeue.

    Slurm starts only batch jobs again, and those not if their user said --no-requeue.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return [Job(words[0], words[1:3] == ["1", "1"], words[3:] == ["1"]) for words in lines]


def due(notice: Notice, now: float, warning: float) -> bool:
    """Whether jobs that stay are told now that they end."""
    return now >= notice.at - warning


def some(jobs: Sequence[Job]) -> str:
    return ", ".join(job.id for job in jobs)
