# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job says when its nodes cannot reach each other, and that it says so before weights load."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .serving import Server


def test_a_link_that_does_not_answer_is_named(server: Callable[..., Server]) -> None:
    """An interface on both nodes that joins nothing: the nodes meet by their names, and that network fails."""
    found = server("blocked", nodes=2, tensor_parallel_size=2, interface="apart0")
    for number, host in enumerate(("gpu1", "gpu2"), 1):
        add = "ip link add apart0 type veth peer name apart1 && ip link set apart0 up && ip link set apart1 up"
        add += f" && ip address add 198.18.0.{number}/32 dev apart0"
        found.cluster.run(host, add)
    try:
        play = found.deploy()
    finally:
        for host in ("gpu1", "gpu2"):
            found.cluster.run(host, "ip link delete apart0")
    assert play.rc != 0
    assert "Trying the links between the nodes failed:" in play.words
    assert "gpu1 (apart0 198.18.0.1) cannot reach gpu2 at 198.18.0.2, port" in play.words
    assert "gpu2 (apart0 198.18.0.2) cannot reach gpu1 at 198.18.0.1, port" in play.words
    assert "Loading" not in play.words
    found.nothing_is_left()


@pytest.mark.slow
def test_an_interface_that_is_not_there(server: Callable[..., Server]) -> None:
    found = server("elsewhere", nodes=2, tensor_parallel_size=2, interface="ib*")
    play = found.deploy()
    assert play.rc != 0
    assert "no interface that is up and has an IPv4 address matches 'ib*'. There are: eth0" in play.words
    found.nothing_is_left()


@pytest.mark.slow
def test_a_sum_over_the_nodes_comes_before_the_engine(server: Callable[..., Server]) -> None:
    found = server("summed", nodes=2, tensor_parallel_size=2)
    play = found.deploy(vllm_jobs_preflight="collective")
    assert play.rc == 0, play.output[-6000:]
    job = next(iter(found.jobs().values()))
    output = found.cluster.run("ctl", f"cat /home/vllm/vllm-jobs/outputs/serve_summed_{job}.out")
    assert "A sum of 4 MiB over 2 nodes by gloo takes" in output
    found.answers_word_for_word()
    found.cancel()
