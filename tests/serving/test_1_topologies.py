# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each topology that a CPU can run: deployed, asked, deployed again, stopped."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import pytest

from .serving import EAGER, TRACED, Server

TOPOLOGIES: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "tensor-two-nodes": ({"nodes": 2, "tensor_parallel_size": 2}, EAGER),
    "copies-two-nodes": ({"nodes": 2, "data_parallel_size": 2, "backend": "rpc"}, EAGER),
    "pipeline-two-nodes": ({"nodes": 2, "pipeline_parallel_size": 2}, TRACED),
    "tensor-one-node": ({"tensor_parallel_size": 2}, EAGER),
    "pipeline-one-node": ({"pipeline_parallel_size": 2}, TRACED),
    "copies-one-node": ({"data_parallel_size": 2}, EAGER),
}
QUICK = ("tensor-two-nodes", "copies-two-nodes")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in TOPOLOGIES],
)
def test_from_the_catalogue_to_an_answer_and_back_to_nothing(server: Callable[..., Server], name: str) -> None:
    keys, words = TOPOLOGIES[name]
    found = server(name, words, **keys)
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    found.answers_word_for_word()
    record = found.record()
    assert record["name"] == name
    if keys.get("nodes") == 2:
        assert record["nodes"] == ["gpu1", "gpu2"]
        assert [one["host"] for one in record["servers"]] == ["gpu1"]
        assert record["servers"][0]["address"] == found.cluster.address("gpu1")
    jobs = found.jobs()
    again = found.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    assert found.jobs() == jobs
    found.cancel()
