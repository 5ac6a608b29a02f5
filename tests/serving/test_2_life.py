# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a job of two nodes: a part of it killed, cancelled, put back into the queue."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .serving import Server, wait

# The engine's own words for its processes on the two nodes.
PARTS = {
    "the server": ("gpu1", "vllm serve"),
    "the other node's engine": ("gpu2", "vllm serve"),
    "the other node's worker": ("gpu2", "VLLM::Worker"),
    "the other node's program": ("gpu2", "llmops_node"),
}


@pytest.fixture
def served(server: Callable[..., Server]) -> Server:
    found = server("life", nodes=2, tensor_parallel_size=2)
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    return found


def kill(server: Server, host: str, words: str) -> None:
    pids = server.cluster.run(host, f"pgrep -u vllm -f {words!r}").split()
    # The first one is the parent of the rest.
    server.cluster.run(host, f"kill -KILL {pids[0]}")


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[] if "worker" in part else [pytest.mark.slow]) for part in PARTS]
)
def test_a_killed_part_ends_the_whole_job(served: Server, part: str) -> None:
    job = next(iter(served.jobs().values()))
    kill(served, *PARTS[part])
    served.nothing_is_left()
    state = served.cluster.run("ctl", f"sacct -X -n -P -j {job} --format=State").strip()
    assert state == "FAILED"


def test_a_requeue_is_served_again_and_recorded_anew(served: Server) -> None:
    job, before = next(iter(served.jobs().values())), served.record()
    served.cluster.run("ctl", f"scontrol requeue {job}", user="vllm")
    wait(lambda: served.cluster.jobs("%T", f"--jobs={job}") == ["PENDING"], 60, "the job to be back in the queue")
    # Slurm would hold it there for two minutes.
    served.cluster.run("ctl", f"scontrol update jobid={job} starttime=now")
    assert served.deploy().rc == 0
    served.answers_word_for_word()
    after = served.record()
    assert list(served.jobs().values()) == [job]
    assert after["started"] > before["started"]
    served.cancel()
