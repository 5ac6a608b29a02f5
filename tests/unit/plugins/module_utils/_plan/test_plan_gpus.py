# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs as Slurm names them and as people write them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import (
    GIB,
    MIB,
    gpu_of,
    kind_of,
    parse_sinfo,
    read_groups,
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            ["gpu2|gpu:l4:2(S:0-1)|gpu*", "gpu1|gpu:l4:2(S:0)|gpu*"],
            [{"type": "l4", "gpus": 2, "nodes": ["gpu1", "gpu2"], "partition": "gpu"}],
            id="alike",
        ),
        pytest.param(
            ["a|gpu:h100:8|big", "a|gpu:h100:8|all*", "b|gpu:t4:1|all*"],
            [
                {"type": "h100", "gpus": 8, "nodes": ["a"], "partition": "all,big"},
                {"type": "t4", "gpus": 1, "nodes": ["b"], "partition": "all"},
            ],
            id="two-partitions",
        ),
        pytest.param(["c|(null)|cpu"], [], id="no-gpus"),
        pytest.param(["d|gpu:4|p"], [{"type": "", "gpus": 4, "nodes": ["d"], "partition": "p"}], id="no-type"),
        pytest.param(
            ["e|gpu:nvidia_a100-sxm4-80gb:4,shard:8|p"],
            [{"type": "nvidia_a100-sxm4-80gb", "gpus": 4, "nodes": ["e"], "partition": "p"}],
            id="detected-by-slurm",
        ),
        pytest.param(["", "slurm_load_partitions: Unable to contact slurm controller"], [], id="no-answer"),
    ],
)
def test_sinfo(lines: list[str], expected: list[dict[str, t.Any]]) -> None:
    assert parse_sinfo(lines) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("l4", ("l4", 22.03, False), id="short"),
        pytest.param("nvidia_l4", ("l4", 22.03, False), id="with-maker"),
        pytest.param("nvidia_l40s", ("l40s", 44.39, False), id="longest-name"),
        pytest.param("a100", ("a100", 39.38, True), id="a100-is-the-small-one"),
        pytest.param("nvidia_a100-sxm4-80gb", ("a100", 79.04, True), id="size-in-the-name"),
        pytest.param("nvidia_h100_80gb_hbm3", ("h100", 79.1, True), id="h100"),
        pytest.param("nvidia_h100_pcie", ("h100", 79.1, False), id="cards-have-no-nvlink"),
        pytest.param("rtx_pro_6000", ("rtx_pro_6000", 94.97, False), id="several-words"),
    ],
)
def test_kinds(name: str, expected: tuple[str, float, bool]) -> None:
    found = kind_of(name)
    assert found is not None
    assert (found[0], round(found[1].gib, 2), found[1].nvlink) == expected


@pytest.mark.parametrize(
    ("kind", "memory", "gib"),
    [
        pytest.param("l4", 23034, 22.03, id="printed-size-is-not-what-programs-see"),
        pytest.param("a100", 81920, 78.8, id="the-large-one"),
        pytest.param("quadro", 16384, 15.76, id="unknown-type"),
    ],
)
def test_memory_that_is_given(kind: str, memory: int, gib: float) -> None:
    assert gpu_of(kind, memory).memory / GIB == pytest.approx(gib, abs=0.01)


def test_an_unknown_type_needs_its_memory() -> None:
    with pytest.raises(PlanError, match="^Planning for GPUs of type 'quadro' failed: their memory is not known"):
        gpu_of("quadro")


def test_groups() -> None:
    one, two = read_groups(
        [{"nodes": "gpu[1-3]", "gpus": 2, "type": "l4", "partition": "gpu"}, {"gpus": 8, "type": "x", "memory": 1000}]
    )
    assert (one.nodes, one.names, one.partitions) == (3, ("gpu1", "gpu2", "gpu3"), ("gpu",))
    assert one.words() == "3 nodes with 2 x l4 each in partition gpu"
    assert (two.nodes, two.gpu.memory, two.words()) == (1, 985 * MIB, "1 node with 8 x x each")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param("l4", "Reading plan_gpus failed: 'l4' found; allowed is a list of dictionaries.", id="text"),
        pytest.param(
            [{"gpu": 1}], "allowed is a dictionary of nodes, gpus, type, memory, nvlink, partition.", id="key"
        ),
        pytest.param([{"gpus": 0, "type": "l4"}], "gpus: 0 found; allowed is a number of at least 1.", id="none"),
        pytest.param([{"gpus": True, "type": "l4"}], "gpus: True found; allowed is a number of at least 1.", id="bool"),
        pytest.param([{"gpus": 1, "nodes": 0, "type": "l4"}], "nodes: 0 found; allowed is a number", id="no-nodes"),
        pytest.param([{"gpus": 1, "nodes": "a[", "type": "l4"}], "Reading plan_gpus failed: nodes: ", id="host-list"),
    ],
)
def test_bad_groups(found: t.Any, message: str) -> None:
    with pytest.raises(PlanError) as error:
        read_groups(found)
    assert message in str(error.value)
