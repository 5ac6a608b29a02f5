# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What slurmd and nvidia-smi print, and what slurmctld makes of it. The outputs of Slurm are recorded from 24.11.5: one
node that is as configured, one with less memory, one with fewer CPUs. Those of nvidia-smi have the form that its
documentation gives; no GPU was at hand."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.believed import differences, parse_nodes
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hardware import (
    Gpu,
    gathered,
    gpu_type,
    gres_of,
    node_of,
    parse_gpu_csv,
    parse_gpu_list,
    parse_slurmd,
)

RECORDED = Path(__file__).parents[3] / "fixtures/slurm-24.11.5"
SLURMD = (RECORDED / "slurmd-c.txt").read_text()
HAS = parse_slurmd(SLURMD)
LOOK = "Look at nvidia-smi on the node, or correct its gres."
LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-838f60d9-651f-9166-ea42-f9da674a6947)
  MIG 1g.5gb      Device  0: (UUID: MIG-ffda444c-c706-57c6-98c9-67c441a0b109)
  MIG 1g.5gb      Device  1: (UUID: MIG-fe9bc608-60f5-5479-8cc4-1827021d27a9)
  MIG 3g.20gb     Device  2: (UUID: MIG-90075af8-1349-5b67-83b7-e31b0590b922)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-e109d8d9-923e-7235-0429-96b7fdbcbd30)
GPU 2: NVIDIA L4 (UUID: GPU-30667114-4567-bc4a-029b-3375d117048e)
"""


def test_slurmd() -> None:
    assert HAS == {
        "name": "ctl",
        "cpus": 2,
        "boards": 1,
        "sockets_per_board": 1,
        "cores_per_socket": 2,
        "threads_per_core": 1,
        "real_memory": 24105,
    }


def test_slurmd_with_gres() -> None:
    text = "slurmd: nothing of note\nNodeName=g CPUs=8 Boards=1 RealMemory=30000 Gres=gpu:l4:2\nUpTime=1-00:00:00\n"
    assert parse_slurmd(text)["gres"] == "gpu:l4:2"


@pytest.mark.parametrize("text", ["", "slurmd: fatal: x", "NodeName=a CPUs=x RealMemory=1"])
def test_slurmd_said_something_else(text: str) -> None:
    with pytest.raises(SlurmConfError, match="Reading what slurmd -C printed failed: no line with NodeName"):
        parse_slurmd(text)


def test_gpu_list_with_mig() -> None:
    gpus = parse_gpu_list(LISTED)
    assert [(gpu.index, gpu.name, gpu.mig) for gpu in gpus] == [
        (0, "NVIDIA A100-SXM4-40GB", ("1g.5gb", "1g.5gb", "3g.20gb")),
        (1, "NVIDIA A100-SXM4-40GB", ()),
        (2, "NVIDIA L4", ()),
    ]
    assert gres_of(gpus) == ["gpu:1g.5gb:2", "gpu:3g.20gb:1", "gpu:a100:1", "gpu:l4:1"]


def test_no_gpus() -> None:
    assert parse_gpu_list("No devices found.\n") == []
    assert gres_of([]) == []


def test_a_driver_in_trouble() -> None:
    with pytest.raises(SlurmConfError, match="'Unable to determine the device handle' is no GPU"):
        parse_gpu_list("GPU 0: NVIDIA L4 (UUID: GPU-1)\nUnable to determine the device handle\n")


def test_gpu_csv() -> None:
    text = (
        "index, name, uuid, memory.total [MiB], driver_version, power.limit [W], mig.mode.current\n"
        "0, NVIDIA RTX 4500 Ada Generation, GPU-fbe2, 24570 MiB, 610.57, 210.00 W, [N/A]\n"
    )
    assert parse_gpu_csv(text) == [
        {
            "index": 0,
            "name": "NVIDIA RTX 4500 Ada Generation",
            "uuid": "GPU-fbe2",
            "memory.total": 24570,
            "driver_version": "610.57",
            "power.limit": 210.0,
            "mig.mode.current": None,
        }
    ]
    assert parse_gpu_csv("") == []


def test_gpu_csv_of_another_shape() -> None:
    with pytest.raises(SlurmConfError, match="'0' has not the 2 columns of its head"):
        parse_gpu_csv("index, name\n0\n")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA GeForce RTX 4090", "rtx_4090"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx_pro_6000"),
    ],
)
def test_gpu_type(name: str, kind: str) -> None:
    assert gpu_type(name) == kind
    # AutoDetect wants the type to be part of the name that it finds, in lower case with underscores.
    assert kind in name.lower().replace(" ", "_")


def test_node_of() -> None:
    node = node_of(HAS, [Gpu(0, "NVIDIA L4"), Gpu(1, "NVIDIA L4")], 1000)
    assert node["real_memory"] == 23105
    assert node["gres"] == ["gpu:l4:2"]


def test_node_of_refuses_a_reserve_above_the_memory() -> None:
    with pytest.raises(SlurmConfError, match="the host has 24105 MiB, the reserve is 30000 MiB"):
        node_of(HAS, [], 30000)


def test_gathered_of_all_hosts() -> None:
    one = {"node": {"name": "a"}, "memory_per_cpu": "3500", "cgroup": True}
    other = {"node": {"name": "b"}, "memory_per_cpu": 3000, "cgroup": False}
    seen: dict[str, dict[str, t.Any]] = {"a": {"__slurm_hardware": one}, "c": {}}
    assert gathered(seen.items()) == {
        "by_host": {"a": one},
        "unknown": ["c"],
        "nodes": [{"name": "a"}],
        "memory_per_cpu": 3500,
        "without_cgroup": [],
    }
    left_out = {"a": other, "b": other}
    assert gathered({**seen, "b": {}}.items(), left_out) == {
        "by_host": {"a": one, "b": other},
        "unknown": ["c"],
        "nodes": [{"name": "a"}, {"name": "b"}],
        "memory_per_cpu": 3000,
        "without_cgroup": ["b"],
    }
    assert gathered([("a", {})])["memory_per_cpu"] is None


@pytest.mark.parametrize("name", ["nodes.json", "nodes.txt", "nodes-oneline.txt"])
def test_nodes_are_the_same_in_every_form(name: str) -> None:
    nodes = parse_nodes((RECORDED / name).read_text())
    assert [(node.name, node.cpus, node.real_memory, node.gres) for node in nodes.values()] == [
        ("gpu1", 2, 20000, "gpu:l4:2"),
        ("gpu2", 2, 99999, "gpu:a100:2,gpu:1g.5gb:1"),
        ("gpu3", 8, 1000, ""),
    ]
    assert "INVALID_REG" in nodes["gpu2"].state
    assert nodes["gpu2"].reason == "Low RealMemory (reported:24105 < 100.00% of configured:99999)"


@pytest.mark.parametrize("text", ['{"nodes": [{}]}', "NodeName=a", "{"])
def test_scontrol_said_something_else(text: str) -> None:
    with pytest.raises(SlurmConfError, match="Reading what scontrol show node printed failed"):
        parse_nodes(text)


def believed(found: t.Mapping[str, t.Any], *, overridden: bool = False) -> list[str]:
    return differences((RECORDED / "nodes-oneline.txt").read_text(), found, overridden)


def test_all_agree() -> None:
    assert believed({"gpu1": {**HAS, "gpus": 2}}) == []


def test_what_differs() -> None:
    has = {**HAS, "gpus": 1}
    assert believed({"gpu1": has, "gpu2": has, "gpu3": has, "gpu4": has}) == [
        f"gpu1: slurmctld believes 2 GPUs (gpu:l4:2), the node has 1. {LOOK}",
        "gpu2: slurmctld believes 99999 MiB of memory, the node has 24105. Raise slurm_node_memory_reserve.",
        "gpu2: slurmctld refused its registration: Low RealMemory (reported:24105 < 100.00% of configured:99999).",
        "gpu3: slurmctld believes 8 CPUs, the node has 2. Set slurm_node_cpus to that.",
        f"gpu3: slurmctld believes 0 GPUs (no gres), the node has 1. {LOOK}",
        "gpu3: slurmctld refused its registration: Low socket*core*thread count, Low CPUs.",
        "gpu4: slurmctld has no such node. Look at its log, and run scontrol reconfigure.",
    ]


def test_overridden_nodes_may_claim_more() -> None:
    text = (RECORDED / "nodes-oneline.txt").read_text().replace("INVALID_REG", "IDLE")
    assert differences(text, {"gpu2": HAS, "gpu3": HAS}, ["gpu2", "gpu3"]) == []
