# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""topology.conf and topology.yaml."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.topology import topology_file

GOLDEN = Path(__file__).parents[3] / "golden"
NODES = [f"node{number:02d}" for number in range(1, 9)]
TREE = {
    "name": "racks",
    "type": "tree",
    "default": True,
    "switches": [
        {"name": "leaf1", "nodes": "node[01-04]"},
        {"name": "leaf2", "nodes": NODES[4:]},
        {"name": "spine", "switches": ["leaf1", "leaf2"]},
    ],
}
BLOCK = {
    "name": "nvl",
    "type": "block",
    "blocks": [{"name": "b1", "nodes": "node[01-04]"}, {"name": "b2", "nodes": "node[05-08]"}],
    "block_sizes": [4, 8],
}
FLAT = {"name": "any", "type": "flat"}


@pytest.mark.parametrize(
    ("topologies", "version", "name", "plugin", "golden"),
    [
        pytest.param([TREE], "24.11.5", "topology.conf", "topology/tree", "topology_tree.conf", id="tree"),
        pytest.param([BLOCK], "26.05.4", "topology.conf", "topology/block", "topology_block.conf", id="block"),
        pytest.param([TREE, BLOCK, FLAT], "26.05.4", "topology.yaml", "", "topology.yaml", id="several"),
    ],
)
def test_golden(topologies: list[t.Any], version: str, name: str, plugin: str, golden: str) -> None:
    found = topology_file(topologies, NODES, version)
    assert (found["name"], found["plugin"]) == (name, plugin)
    path = GOLDEN / golden
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found["text"])
    assert found["text"] == path.read_text()


def test_yaml_is_what_the_page_describes() -> None:
    """topology.yaml(5): the name first, one type each."""
    read = yaml.safe_load(topology_file([TREE, BLOCK, FLAT], NODES, "26.05.4")["text"])
    assert [list(one)[0] for one in read] == ["topology"] * 3
    assert read[0]["tree"]["switches"][2] == {"switch": "spine", "children": "leaf[1-2]"}
    assert read[1]["block"] == {
        "block_sizes": [4, 8],
        "blocks": [{"block": "b1", "nodes": "node[01-04]"}, {"block": "b2", "nodes": "node[05-08]"}],
    }
    assert read[2]["flat"] is True


@pytest.mark.parametrize(("version", "plugin"), [("24.11.5", "topology/default"), ("25.11.8", "topology/flat")])
def test_flat_had_another_name(version: str, plugin: str) -> None:
    assert topology_file([FLAT], NODES, version)["plugin"] == plugin


def test_none_is_no_file() -> None:
    assert topology_file([], NODES, "26.05.4") == {"name": "", "text": "", "plugin": ""}


@pytest.mark.parametrize(
    ("topologies", "message"),
    [
        pytest.param([{"name": "x", "type": "ring"}], "a type (tree, block or flat) is needed", id="type"),
        pytest.param([{**TREE, "switch": []}], "racks: there is no key switch; allowed are name, type", id="key"),
        pytest.param([{**TREE, "switches": []}], "racks: switches must be a list with something in it", id="empty"),
        pytest.param(
            [{**TREE, "switches": [{"name": "s", "nodes": "node[01-07]"}]}], "node08 are in none of it", id="left-out"
        ),
        pytest.param(
            [{**TREE, "switches": [*TREE["switches"], {"name": "leaf3", "nodes": "node01"}]}],  # type: ignore[misc]
            "racks: node01 is under leaf1 and under leaf3. Keep one.",
            id="node-twice",
        ),
        pytest.param(
            [{**TREE, "switches": [{"name": "s", "nodes": "node[01-09]"}]}],
            "racks s: 'node09' is no node (1 unknown of 9).",
            id="unknown-node",
        ),
        pytest.param(
            [{**TREE, "switches": [{"name": "s", "switches": "q"}]}], "racks: q, under s, is no switch.", id="no-switch"
        ),
        pytest.param(
            [{**TREE, "switches": [{"name": "a", "switches": "b"}, {"name": "b", "switches": "a"}]}],
            "racks: b is below itself.",
            id="circle",
        ),
        pytest.param(
            [{**TREE, "switches": [{"name": "a"}]}], "racks a: either nodes or switches are needed", id="neither"
        ),
        pytest.param([{**BLOCK, "block_sizes": [4, 12]}], "nvl: block_sizes has 12 after 4; allowed is 4", id="sizes"),
        pytest.param([{**BLOCK, "block_sizes": "4"}], "nvl: block_sizes is '4'; allowed is a list", id="size-text"),
        pytest.param([{**BLOCK, "block_sizes": [8]}], "nvl: a block has 4 nodes; allowed is at least 8", id="too-big"),
        pytest.param([TREE, TREE], "racks is there twice", id="twice"),
        pytest.param([TREE, {**FLAT, "default": True}], "default is true for racks and any. Keep one.", id="defaults"),
    ],
)
def test_bad_topologies(topologies: list[t.Any], message: str) -> None:
    with pytest.raises(SlurmConfError) as error:
        topology_file(topologies, NODES, "26.05.4")
    assert str(error.value).startswith("Rendering the topology failed: ")
    assert message in str(error.value)


def test_several_need_a_newer_slurm() -> None:
    with pytest.raises(SlurmConfError, match="2 topologies need Slurm 25.05 or newer, slurm_version is 24.11.5"):
        topology_file([TREE, FLAT], NODES, "24.11.5")
