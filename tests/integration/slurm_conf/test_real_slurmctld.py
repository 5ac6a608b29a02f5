"""What is rendered is accepted by the Slurm that is built: a real slurmctld with 10,000 nodes beside the lab's own, and
each key of the tables read by the real parser."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf import keys
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.believed import parse_nodes
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import slurm_ini, too_old
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import gres_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.topology import YAML_SINCE, topology_file

from lab.second_slurm import FOLDER, ask, name_hosts, settings, write
from tests.cluster import Cluster

COUNT = 10_000
NAMES = [f"node{number:05d}" for number in range(COUNT)]
SHAPE = {
    **{"cpus": 96, "sockets": 2, "cores_per_socket": 24, "threads_per_core": 2, "real_memory": 1_120_665},
    **{"features": ["a100", "efa"], "weight": 10},
}
RACKS = [NAMES[first : first + 32] for first in range(0, COUNT, 32)]
TREE = {
    "name": "racks",
    "type": "tree",
    "switches": [
        *({"name": f"leaf{number}", "nodes": rack} for number, rack in enumerate(RACKS)),
        {"name": "spine", "switches": [f"leaf{number}" for number in range(len(RACKS))]},
    ],
}
BLOCK = {
    "name": "nvl",
    "type": "block",
    "blocks": [{"name": f"block{number}", "nodes": rack} for number, rack in enumerate(RACKS)],
    "block_sizes": [16, 32],
}
# A text of each kind that the parser takes.
SAMPLE: Mapping[Any, str] = {
    **{keys.TEXT: "x", keys.BOOL: "yes", keys.U16: "1", keys.U32: "1", keys.U64: "1", keys.COUNT: "1"},
    **{keys.TIME: "1:00:00", keys.MINUTES: "1", keys.SECONDS: "60", keys.SWITCH: "OFF", keys.FLOAT: "1.5"},
}


@pytest.mark.parametrize(
    "topologies",
    [
        pytest.param([], id="flat"),
        pytest.param([TREE], id="tree"),
        pytest.param([BLOCK], id="block"),
        pytest.param([{**TREE, "default": True}, BLOCK], id="several"),
    ],
)
def test_ten_thousand_nodes(folder: Cluster, version: str, topologies: list[dict[str, Any]]) -> None:
    name_hosts(folder.lab, NAMES)
    if len(topologies) > 1 and too_old(version, YAML_SINCE):
        pytest.skip(f"topology.yaml needs Slurm {YAML_SINCE}, this is {version}")
    nodes = [{"name": name, **SHAPE, "gres": ["gpu:a100:7", "nic:4"]} for name in NAMES]
    found = topology_file(topologies, NAMES, version)
    defaults = {"max_time": "7-00:00:00", "oversubscribe": False, "preempt_mode": False}
    partitions = [
        {"name": "gpu", "nodes": NAMES, "default": True, "def_mem_per_gpu": 100_000, "def_cpu_per_gpu": 12},
        {"name": "few", "nodes": NAMES[:100], "max_time": "1:30:00", "priority_tier": 10},
    ]
    given = {**settings(found["plugin"]), "GresTypes": ["gpu", "nic"]}
    text = slurm_conf(given, nodes, partitions, defaults, version, [])
    assert len(text) < 4096
    write(folder.lab, "slurm.conf", text)
    write(folder.lab, "gres.conf", gres_conf(nodes, version))
    write(folder.lab, "cgroup.conf", slurm_ini({"CgroupPlugin": "disabled"}, "cgroup.conf", version))
    if found["name"]:
        write(folder.lab, found["name"], found["text"])
    told = ask(
        folder.lab,
        "export PATH=/opt/slurm/current/bin:$PATH; sinfo --noheader --format='%P %D %l'; scontrol show config;"
        "echo; echo ====; scontrol show node node09999 --oneliner;"
        "scontrol show topology | grep -E '(leaf|block)312 ';"
        f"echo ====; grep -E 'fatal|unrecogni|nvalid' {FOLDER}/slurmctld.log || true",
    )
    shown, node, complaints = told.split("====")
    assert shown.splitlines()[:2] == ["gpu* 10000 7-00:00:00", "few 100 1:30:00"]
    config = dict(line.split("=", 1) for line in shown.replace(" ", "").splitlines() if "=" in line)
    assert (config["TreeWidth"], config["MessageTimeout"], config["JobAcctGatherFrequency"]) == ("22", "60sec", "300")
    believed = parse_nodes(next(line for line in node.splitlines() if line.startswith("NodeName=")))["node09999"]
    assert (believed.cpus, believed.cores, believed.real_memory) == (96, 48, 1_120_665)
    assert believed.gres == "gpu:a100:7,nic:4"
    wanted = {"tree": "SwitchName=leaf312", "block": "BlockName=block312"}.get(
        topologies[0]["type"] if topologies else ""
    )
    assert wanted is None or any(wanted in line and "node[09984-09999]" in line for line in node.splitlines())
    # The lab's controller may send no mail, which slurmctld says in the same words.
    assert [line for line in complaints.splitlines() if line and "MailProg" not in line] == []


def test_what_slurmctld_refuses_is_seen(folder: Cluster) -> None:
    """The check above would fail: a configuration that is not accepted is reported."""
    name_hosts(folder.lab, [])
    write(folder.lab, "slurm.conf", slurm_conf(settings(""), [], []) + "NodeName=a Cpu=2\n")
    with pytest.raises(Exception, match="unrecognized key: Cpu"):
        ask(folder.lab, "true")


def parses(site: Cluster, lines: Mapping[str, str]) -> dict[str, bool]:
    """Whether Slurm's parser knows the key of each line; the client reads the whole file before it does anything."""
    write(site.lab, "lines.json", json.dumps(lines))
    program = f"""
import json, os, subprocess
known = {{}}
for key, line in json.load(open("{FOLDER}/lines.json")).items():
    with open("{FOLDER}/slurm.conf", "w") as file:
        file.write("ClusterName=x\\nSlurmctldHost=ctl\\n" + line + "\\n")
    done = subprocess.run(["/opt/slurm/current/bin/scontrol", "show", "hostnames", "localhost"], text=True,
        capture_output=True, env={{**os.environ, "SLURM_CONF": "{FOLDER}/slurm.conf"}})
    known[key] = "unrecognized key" not in done.stderr
print(json.dumps(known))
"""
    return dict(json.loads(site.run("ctl", f"python3 -c {shlex.quote(program)}")))


@pytest.mark.parametrize(
    ("table", "since", "form"),
    [
        pytest.param(keys.FILES["slurm.conf"], keys.SINCE, "{pair}", id="settings"),
        pytest.param(keys.NODE_KEYS, keys.LINE_SINCE, "NodeName=n1 {pair}", id="nodes"),
        pytest.param(keys.PARTITION_KEYS, keys.LINE_SINCE, "NodeName=n1\nPartitionName=p {pair}", id="partitions"),
    ],
)
def test_the_tables_know_what_slurm_knows(
    folder: Cluster, version: str, table: Mapping[str, Any], since: Mapping[str, str], form: str
) -> None:
    lines = {
        key: form.format(pair=f"{key}={kind[0] if isinstance(kind, tuple) else SAMPLE[kind]}")
        for key, kind in table.items()
        if key not in ("ClusterName", "SlurmctldHost")
    }
    known = parses(folder, lines)
    wrong = {key: found for key, found in known.items() if found == too_old(version, since.get(key, ""))}
    assert wrong == {}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["n1", "n2", "n10", "m01", "m02", "a"], id="mixed"),
        pytest.param([f"rack{rack}-n{number:03d}" for rack in range(3) for number in range(95, 105)], id="racks"),
    ],
)
def test_host_lists_are_what_slurm_reads(folder: Cluster, names: list[str]) -> None:
    told = folder.run("ctl", f"/opt/slurm/current/bin/scontrol show hostnames {shlex.quote(hostlist(names))}")
    assert sorted(told.split()) == sorted(names)
