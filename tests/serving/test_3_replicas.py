# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replicas: a job each, together on one node, on ports that do not collide."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab.client import QUESTIONS

from .serving import Server


def test_replicas_share_a_node_and_the_last_one_goes_first(server: Callable[..., Server]) -> None:
    # Neither the model's own port nor the nodes tell them apart: both are wanted on one node.
    two = server("twins", replicas=2)
    site = {"vllm_jobs_engine_env": {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}}
    two.cluster.run("ctl", "scontrol update nodename=gpu2 state=drain reason=one-node-for-the-test")
    try:
        play = two.deploy(**site)
        assert play.rc == 0, play.output[-6000:]
        jobs = two.jobs()
        assert set(jobs) == {"vllm-serve-twins", "vllm-serve-twins+2"}
        records = [two.record(job) for job in jobs.values()]
        assert [record["host"] for record in records] == ["gpu1", "gpu1"]
        assert records[0]["port"] == 8030
        assert records[1]["port"] != 8030
        known = QUESTIONS["questions"][0]
        for record in records:
            answer = two.ask(known, record["host"], record["port"])
            assert answer.body["choices"][0]["message"]["content"] == known["answer"]
        again = two.deploy(**site)
        assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
        one = server("twins", replicas=1)
        fewer = one.deploy(**site, vllm_jobs_port_moves=True)
        assert fewer.rc == 0, fewer.output[-6000:]
        assert set(one.jobs()) == {"vllm-serve-twins"}
    finally:
        two.cluster.run("ctl", "scontrol update nodename=gpu2 state=resume")
    two.cancel()
