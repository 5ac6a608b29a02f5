# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are drained for the night, and which come back in the morning."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws.night import nodes, served

OURS = "aws_cluster: drained by stop_infrastructure"

SHOWN: dict[str, tuple[str, list[str], list[str]]] = {
    "nothing": ("", [], []),
    "idle, with jobs, off and down": (
        "gpu1|idle|none\ngpu2|mixed|none\ncloud1|idle~|none\ngpu3|down*|Not responding\n",
        ["cloud1", "gpu1", "gpu2", "gpu3"],
        [],
    ),
    "in two partitions": ("gpu1|idle|none\ngpu1|idle|none\n", ["gpu1"], []),
    "drained by a person": ("gpu1|drained|bad fan\ngpu2|draining|bad fan\n", [], []),
    "drained by us": (
        f"gpu1|drained|{OURS}\ngpu2|draining|{OURS}\ngpu3|drained*|{OURS}\n",
        [],
        ["gpu1", "gpu2", "gpu3"],
    ),
    "drained by us, and off": (f"cloud1|drained~|{OURS}\n", [], ["cloud1"]),
    "a reason that has ours in it": (f"gpu1|drained|{OURS} | or so\n", [], []),
    "given back, with the reason of before": (f"gpu1|idle|{OURS}\n", ["gpu1"], []),
    "something else": ("slurm_load_partitions: Unable to contact slurm controller\n", [], []),
}


@pytest.mark.parametrize("name", SHOWN)
def test_nodes(name: str) -> None:
    shown, drain, resume = SHOWN[name]
    assert nodes(shown, OURS) == {"drain": drain, "resume": resume}


def test_jobs_that_serve() -> None:
    shown = "12 vllm-serve-phi3\n13 vllm-batch-phi3\n14 train me\n15\n16 my-vllm-serve-x\n"
    assert served(shown) == ["12"]
