# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""slurm.conf, gres.conf and their like."""

from __future__ import annotations

import os
import random
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import slurm_ini
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import gres_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.scale import reach, tree_width

GOLDEN = Path(__file__).parents[3] / "golden"
SETTINGS = {"ClusterName": "lab", "SlurmctldHost": "ctl"}
GPU = {"cpus": 8, "sockets": 1, "cores_per_socket": 4, "threads_per_core": 2, "real_memory": 30000, "gres": "gpu:l4:2"}
NODES = [
    {**GPU, "name": "gpu2", "addr": "10.9.0.12"},
    {"name": "cpu1", "cpus": 2, "real_memory": 4000},
    {**GPU, "name": "gpu1", "addr": "10.9.0.11"},
    {**GPU, "name": "gpu10", "addr": "10.9.0.20", "features": ["l4", "efa"], "gres_file": "/dev/nvidia[0-1]"},
]
PARTITIONS = [
    {"name": "gpu", "nodes": ["gpu1", "gpu2", "gpu10"], "default": True, "max_time": "UNLIMITED"},
    {"name": "all", "nodes": "ALL", "state": "UP"},
]


def same_as_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{name} differs; run again with UPDATE_GOLDEN=1 if that is wanted"


def test_slurm_conf_golden() -> None:
    settings = {
        **SETTINGS,
        "slurmdtimeout": 60,
        "JobAcctGatherFrequency": None,
        "SchedulerParameters": ["batch_sched_delay=0", "sched_min_interval=0"],
        "HealthCheckProgram": "/usr/sbin/nhc",
        "DisableRootJobs": True,
    }
    same_as_golden("slurm.conf", slurm_conf(settings, NODES, PARTITIONS))


def test_gres_conf_golden() -> None:
    extra = [
        {"name": "mix1", "gres": ["gpu:l4:1", "gpu:a100:2", "nic:2"]},
        {"name": "auto1", "gres": "gpu:2", "gres_autodetect": "nvidia"},
    ]
    same_as_golden("gres.conf", gres_conf([*NODES, *extra]))


def test_any_order_of_nodes_gives_the_same_text() -> None:
    expected = slurm_conf(SETTINGS, NODES, PARTITIONS)
    for seed in range(10):
        shuffled = random.Random(seed).sample(NODES, len(NODES))
        assert slurm_conf(SETTINGS, shuffled, PARTITIONS) == expected


def test_several_controllers_have_lines_of_their_own() -> None:
    text = slurm_conf({**SETTINGS, "SlurmctldHost": ["ctl1(10.0.0.1)", "ctl2"]}, [], [])
    assert "SlurmctldHost=ctl1(10.0.0.1)\nSlurmctldHost=ctl2\n" in text


def test_large_cluster_golden() -> None:
    """Above 4,368 nodes all that grows with their number is there, with its reason."""
    nodes = [{**GPU, "name": f"node{number:05d}"} for number in range(10_000)]
    partitions = [{"name": "gpu", "nodes": [node["name"] for node in nodes], "default": True}]
    text = slurm_conf(SETTINGS, nodes, partitions)
    same_as_golden("slurm_10000.conf", text)
    assert len(text) < 4096


@pytest.mark.parametrize(
    ("nodes", "settings", "lines"),
    [
        pytest.param(1023, {}, ["JobAcctGatherFrequency=30"], id="small"),
        pytest.param(1024, {}, ["MessageTimeout=60", "JobAcctGatherFrequency=300"], id="large"),
        pytest.param(4368, {}, ["MessageTimeout=60", "JobAcctGatherFrequency=300"], id="three-hops-of-16"),
        pytest.param(4369, {}, ["TreeWidth=17", "MessageTimeout=60", "JobAcctGatherFrequency=300"], id="not-of-16"),
        pytest.param(
            10_000,
            {"treewidth": 65533, "MessageTimeout": None, "JobAcctGatherFrequency": 10},
            ["TreeWidth=65533", "JobAcctGatherFrequency=10"],
            id="given-wins",
        ),
    ],
)
def test_what_follows_from_the_number_of_nodes(nodes: int, settings: dict[str, t.Any], lines: list[str]) -> None:
    text = slurm_conf({**SETTINGS, **settings}, [{"name": f"n{number}"} for number in range(nodes)], [])
    keys = ("TreeWidth", "MessageTimeout", "JobAcctGatherFrequency")
    assert [line for line in text.splitlines() if line.split("=")[0] in keys] == lines


@pytest.mark.parametrize("nodes", [1, 4368, 4369, 10_000, 20_000, 65_536])
def test_three_hops_reach_all_nodes_and_no_narrower_tree_does(nodes: int) -> None:
    width = tree_width(nodes)
    assert reach(width) >= nodes
    assert width == 16 or reach(width - 1) < nodes


@pytest.mark.parametrize("key", ["max_time", "MaxTime", "maxtime", "MAXTIME"])
def test_keys_in_any_spelling(key: str) -> None:
    text = slurm_conf(SETTINGS, [{"name": "a", "CPUS": 2, "realMemory": 100}], [{"name": "p", key: "1:00:00"}])
    assert text.endswith("NodeName=a CPUs=2 RealMemory=100\n\nPartitionName=p Nodes=ALL MaxTime=1:00:00\n")


def test_partition_defaults_and_how_to_drop_one() -> None:
    defaults = {"max_time": "7-0", "DefMemPerGPU": 1000, "state": "UP"}
    partitions = [{"name": "a"}, {"name": "b", "MaxTime": "1-0", "def_mem_per_gpu": None}]
    lines = slurm_conf(SETTINGS, [{"name": "n"}], partitions, defaults).splitlines()[-2:]
    assert lines == [
        "PartitionName=a Nodes=ALL MaxTime=7-0 State=UP DefMemPerGPU=1000",
        "PartitionName=b Nodes=ALL MaxTime=1-0 State=UP",
    ]


def test_all_faults_are_in_one_message() -> None:
    with pytest.raises(SlurmConfError) as error:
        slurm_conf(
            {**SETTINGS, "KillWait": "x", "Zzz": 1, "MaxJobCount": -1},
            [{"name": "a", "cpus": -4}, {"name": "b", "cpus": -4}, {"name": "a"}, {"name": "-"}],
            [{"name": "p", "nodes": "c"}, {"name": "q", "max_time": 5400, "state": True}],
        )
    assert str(error.value).splitlines() == [
        "Rendering slurm.conf failed: there is no key Zzz; Slurm 24.11 to 26.05 know none like it.",
        "Rendering slurm.conf failed: KillWait is 'x'; allowed is a whole number from 0 to 65535 or INFINITE.",
        "Rendering slurm.conf failed: MaxJobCount is -1; allowed is a whole number from 0 on or INFINITE.",
        "Rendering nodes failed: a is there twice. Give each node a name of its own.",
        "Rendering nodes failed: '-' is no host name. Allowed are letters, digits, '.', '_' and '-', at most 64 of "
        "them, and not the words ALL and DEFAULT.",
        "Rendering the node a,b failed: cpus is -4; allowed is a whole number from 1 to 65533.",
        "Rendering the partition p failed: 'c' is no node (1 unknown of 1). Give it in nodes, or take it out of the "
        "partition.",
        "Rendering the partition q failed: max_time is 5400; allowed is minutes, minutes:seconds, "
        "hours:minutes:seconds, days-hours[:minutes[:seconds]] or INFINITE. YAML reads 1:30:00 without quotes as the "
        "number 5400, which Slurm would take for minutes: write the time in quotes.",
        "Rendering the partition q failed: state is 'yes'; allowed are UP, DOWN, DRAIN, INACTIVE.",
    ]


def test_ten_thousand_alike_nodes_are_quick_and_small() -> None:
    nodes = [{**GPU, "name": f"node{number:05d}", "addr": f"node{number:05d}"} for number in range(10_000)]
    random.Random(3).shuffle(nodes)
    started = time.process_time()
    text = slurm_conf(SETTINGS, nodes, [{"name": "gpu", "nodes": [node["name"] for node in nodes]}])
    assert time.process_time() - started < 2
    assert len(text) < 4096
    assert "NodeName=node[00000-09999] CPUs=8" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"Licenses": "x\ny"},
            "Licenses is 'x\\ny'; line breaks, control characters and '#' cannot be written",
            id="line-break",
        ),
        pytest.param(
            {"Licenses": "x#y"},
            "Licenses is 'x#y'; line breaks, control characters and '#' cannot be written",
            id="comment",
        ),
        pytest.param(
            {"Licenses": ""},
            "Licenses is ''; allowed is a text with something in it and no blanks around it",
            id="empty",
        ),
        pytest.param(
            {"Licenses": {"b": 1}},
            "Licenses is a dictionary; allowed are texts, numbers, booleans and lists",
            id="dictionary",
        ),
        pytest.param({"A B": 1}, "'A B' is no key; allowed are letters, digits and '_', the first a letter", id="key"),
        pytest.param({"Licenses": 'a "b"'}, "blanks and double quotes cannot go together", id="quotes"),
        pytest.param({"NodeName": "x"}, "NodeName has no place in settings; use nodes", id="nodes"),
        pytest.param({"partitionname": "x"}, "partitionname has no place in settings; use partitions", id="partitions"),
        pytest.param({"KillWait": 1, "killwait": 2}, "KillWait is set twice, as KillWait and as killwait", id="twice"),
        pytest.param({"ClusterName": None}, "ClusterName is missing in settings", id="no-name"),
    ],
)
def test_bad_settings(settings: dict[str, t.Any], message: str) -> None:
    with pytest.raises(SlurmConfError) as error:
        slurm_conf({**SETTINGS, **settings}, [], [])
    assert message in str(error.value)
    assert str(error.value).startswith("Rendering slurm.conf failed: ")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        pytest.param([{"name": "a"}, {"name": "a"}], "a is there twice", id="twice"),
        pytest.param(
            [{"name": "a", "cpu": 2}],
            "Rendering the node a failed: there is no key cpu. Did you mean cpus?",
            id="unknown",
        ),
        pytest.param([{"cpus": 2}], "a dictionary with a name is needed", id="no-name"),
        pytest.param([{"name": "a b"}], "'a b' is no host name", id="bad-name"),
        pytest.param(
            [{"name": "a", "features": "x\nNodeName=b"}], "features is 'x\\nNodeName=b'; line breaks", id="injection"
        ),
    ],
)
def test_bad_nodes(nodes: list[t.Any], message: str) -> None:
    with pytest.raises(SlurmConfError) as error:
        slurm_conf(SETTINGS, nodes, [])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("partitions", "message"),
    [
        pytest.param([{"name": "p", "nodes": "gpu[1-3]"}], "'gpu3' is no node (1 unknown of 3)", id="unknown-node"),
        pytest.param(
            [{"name": "p", "nodez": "ALL"}],
            "the partition p failed: there is no key nodez. Did you mean nodes?",
            id="unknown-key",
        ),
        pytest.param([{"name": "p"}, {"name": "p"}], "p is there twice", id="twice"),
        pytest.param([{"name": "p", "nodes": []}], "the partition p failed: it has no nodes", id="no-nodes"),
        pytest.param([{"name": "p", "nodes": None}], "the partition p failed: it has no nodes", id="null-nodes"),
        pytest.param([{"name": "p", "nodes": "gpu[1-"}], "its brackets do not match", id="brackets"),
        pytest.param([{"name": "p", "nodes": 3}], "nodes is 3; allowed are ALL, a host list", id="number"),
        pytest.param([{"name": "DEFAULT"}], "a dictionary with a name is needed", id="reserved"),
        pytest.param([{"name": "a b"}], "a dictionary with a name is needed", id="bad-name"),
        pytest.param([{"name": "p", "MaxTime": "1", "max_time": "2"}], "MaxTime is set twice", id="spelled-twice"),
        pytest.param(
            [{"name": "p", "default": True}, {"name": "q", "default": True}],
            "the partition q failed: default is true for p too. Keep one default partition.",
            id="two-defaults",
        ),
        pytest.param(
            [{"name": "p", "default_time": "2:00:00", "max_time": "1:00:00"}],
            "default_time is '2:00:00'; allowed is at most max_time, '1:00:00'.",
            id="default-above-most",
        ),
        pytest.param([{"name": "p", "min_nodes": 3, "max_nodes": 2}], "min_nodes is 3; allowed is at most", id="min"),
        pytest.param(
            [{"name": "p", "allow_qos": "a", "deny_qos": "b"}], "allow_qos and deny_qos cannot go together", id="both"
        ),
    ],
)
def test_bad_partitions(partitions: list[t.Any], message: str) -> None:
    with pytest.raises(SlurmConfError) as error:
        slurm_conf(SETTINGS, NODES, partitions)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        pytest.param(
            {"gres": "gpu:l4:x"}, "gres is 'gpu:l4:x'; allowed is 'gpu:2', 'gpu:l4:2' or 'gpu:1g.5gb:7'", id="count"
        ),
        pytest.param(
            {"gres": "gpu:a:1,gpu:b:1", "gres_file": "/dev/nvidia0"},
            "gres_file goes with exactly one resource, 2 found",
            id="two",
        ),
    ],
)
def test_bad_gres(node: dict[str, t.Any], message: str) -> None:
    with pytest.raises(SlurmConfError) as error:
        gres_conf([{"name": "a", **node}])
    assert message in str(error.value)


def test_slurm_ini_keeps_order_and_drops_null() -> None:
    settings = {"ConstrainDevices": True, "CgroupPlugin": None, "AllowedSwapSpace": 0, "A": ["x", "y"], "B": "x y"}
    assert slurm_ini(settings) == 'ConstrainDevices=yes\nAllowedSwapSpace=0\nA=x,y\nB="x y"\n'


def test_slurm_ini_never_shows_a_password() -> None:
    with pytest.raises(SlurmConfError) as error:
        slurm_ini({"StoragePass": "s3cret#1"}, "slurmdbd.conf")
    assert "s3cret" not in str(error.value)
    assert str(error.value).startswith("Rendering slurmdbd.conf failed: StoragePass is (value not shown);")
