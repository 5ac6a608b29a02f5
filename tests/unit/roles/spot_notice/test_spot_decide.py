# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what EC2 and Slurm say, and what follows."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.roles.spot_notice.files.spot_notice.decide import (
    Job,
    Node,
    Notice,
    needs_drain,
    parse_jobs,
    parse_node,
    parse_notice,
    reason,
)

TEXT = '{"action": "terminate", "time": "2026-11-21T12:34:56Z"}'
AT = 1795264496.0


def test_a_notice_is_read() -> None:
    assert parse_notice(TEXT) == Notice("terminate", AT)


BAD = {
    "no JSON": "<html>",
    "no time": '{"action": "stop"}',
    "another time": '{"action": "stop", "time": "12:34"}',
    "a list": "[]",
    "time is no text": '{"action": "stop", "time": 5}',
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_notice_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="^the notice is none "):
        parse_notice(BAD[name])


REASONS = {
    "terminate": "spot: EC2 takes this instance back at 12:34:56 UTC",
    "stop": "spot: EC2 stops this instance at 12:34:56 UTC",
    "hibernate": "spot: EC2 hibernates this instance at 12:34:56 UTC",
    "re'boot\n": "spot: EC2 wants to reboot this instance at 12:34:56 UTC",
}


@pytest.mark.parametrize("action", REASONS)
def test_a_reason_is_in_words(action: str) -> None:
    assert reason(Notice(action, AT)) == REASONS[action]


NODES = {
    "idle": ("NodeName=gpu2 State=IDLE ThreadsPerCore=1\n", Node(False, "")),
    "drained": (
        "NodeName=gpu2 State=IDLE+DRAIN Owner=N/A Reason=disk is swapped [root@2026-11-21T12:00:00]\n",
        Node(True, "disk is swapped"),
    ),
    "with a comment": (
        "NodeName=gpu2 State=MIXED+CLOUD+DRAIN Reason=a State=IDLE of mind [slurm@2026-11-21T12:00:00] Comment=x\n",
        Node(True, "a State=IDLE of mind"),
    ),
    "a word like it": ("NodeName=gpu2 State=IDLE+UNDRAINED Partitions=gpu\n", Node(False, "")),
}


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_read(name: str) -> None:
    text, wanted = NODES[name]
    assert parse_node(text) == wanted


def test_what_is_no_node_is_refused() -> None:
    with pytest.raises(ValueError, match="^scontrol shows no state: 'Node gpu2 not found'$"):
        parse_node("Node gpu2 not found")


WANTED = reason(Notice("terminate", AT))
DRAINS = {
    "free": (Node(False, ""), True),
    "resumed, with an old reason": (Node(False, WANTED), True),
    "ours already": (Node(True, WANTED), False),
    "ours of another time": (Node(True, "spot: EC2 takes this instance back at 09:00:00 UTC"), True),
    "a person's": (Node(True, "disk is swapped"), False),
    "the health check's": (Node(True, "node_health: / is full (resumes by itself)"), True),
    "of elastic": (Node(True, "elastic: protected: partition gpu"), False),
}


@pytest.mark.parametrize("name", DRAINS)
def test_which_drain_is_needed(name: str) -> None:
    node, wanted = DRAINS[name]
    assert needs_drain(node, WANTED) is wanted


def test_jobs_that_move_are_batch_jobs_that_may_be_requeued() -> None:
    text = "  11  1  1  1\n  12  0  1  1\n  13  1  0  1\n\n  14  1  1  2\n"
    assert parse_jobs(text) == [Job("11", True), Job("12", False), Job("13", False), Job("14", True, alone=False)]
    assert parse_jobs("") == []
