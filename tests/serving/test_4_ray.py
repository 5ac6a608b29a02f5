# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Ray of the job's own over two hosts. Its platform is a test's own: stock vLLM has no Ray on the CPU."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable

import pytest

from tests.cluster import Cluster

from .serving import EAGER, TRACED, Server

pytestmark = pytest.mark.slow

WAYS: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "ray-tensor": ({"tensor_parallel_size": 2}, EAGER),
    "ray-pipeline": ({"pipeline_parallel_size": 2}, TRACED),
    "ray-copies": ({"data_parallel_size": 2}, EAGER),
}


@pytest.fixture(scope="module")
def with_ray(free: Cluster) -> Cluster:
    """The engine's environment with Ray in it."""
    play = free.play("playbooks/deploy_vllm.yml", "-e", json.dumps({"vllm_extra_packages": ["ray==2.60.0"]}))
    assert play.rc == 0, play.output[-6000:]
    return free


@pytest.mark.parametrize("name", WAYS)
def test_from_the_catalogue_to_an_answer_and_back_to_nothing(
    with_ray: Cluster, plugin: str, server: Callable[..., Server], name: str
) -> None:
    keys, words = WAYS[name]
    found = server(name, words, nodes=2, backend="ray", env={"PYTHONPATH": plugin}, **keys)
    # Somebody else's Ray on one of the hosts, which neither joins the job nor ends with it.
    start = "ray start --head --port 7999 --num-gpus 0 --include-dashboard false --temp-dir /tmp/others"
    with_ray.run("gpu1", f"/opt/vllm/venv/bin/{start} --dashboard-agent-listen-port 7998 >/dev/null", user="nobody")
    try:
        play = found.deploy()
        assert play.rc == 0, play.output[-6000:]
        found.answers_word_for_word()
        jobs = found.jobs()
        again = found.deploy()
        assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
        assert found.jobs() == jobs
        found.cancel()
        assert "raylet" in with_ray.run("gpu1", "ps -u nobody -o args=")
    finally:
        with_ray.run("gpu1", "pkill -KILL -u nobody || true; rm -rf /tmp/others")
