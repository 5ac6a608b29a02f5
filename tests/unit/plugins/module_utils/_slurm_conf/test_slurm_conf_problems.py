# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is wrong with a cluster's variables, told by variable and host."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES, SOURCE
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.problems import (
    host_variables,
    instance_type,
    problems,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.versions import release_of, version_faults

GIVEN: dict[str, t.Any] = {
    "settings": {},
    "partitions": [{"name": "gpu", "nodes": ["gpu1", "gpu2"], "default": True, "max_time": "INFINITE"}],
    "compute_hosts": ["gpu1", "gpu2"],
    "controller_hosts": ["ctl"],
    "database_hosts": ["ctl"],
    "version": "26.05.4",
    "configure_flags": [],
}


def found(hosts: t.Mapping[str, t.Any] | None = None, **given: t.Any) -> list[str]:
    return problems(hosts or {}, {**GIVEN, **given})


def test_all_is_well() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"settings": {"KilWait": 1}}, "slurm_settings: there is no key KilWait. Did you mean KillWait?", id="key"
        ),
        pytest.param(
            {"settings": {"Zzz": 1}},
            "slurm_settings: there is no key Zzz; Slurm 24.11 to 26.05 know none like it.",
            id="no-key",
        ),
        pytest.param(
            {"settings": {"authtype": "auth/none"}},
            "slurm_settings has authtype, which is not set there. Set slurm_auth: keys, services and database go by "
            "it.",
            id="auth",
        ),
        pytest.param(
            {"settings": {"cred_type": "cred/none"}},
            "slurm_settings has cred_type, which is not set there. Set slurm_auth: keys, services and database go by "
            "it.",
            id="auth-in-another-spelling",
        ),
        pytest.param(
            {"settings": {"ClusterName": "other"}},
            "slurm_settings has ClusterName, which is not set there. Set slurm_cluster_name: accounting and the saved "
            "jobs go by it.",
            id="cluster-name",
        ),
        pytest.param(
            {"settings": {"SlurmUser": "root"}},
            "slurm_settings has SlurmUser, which is not set there. Take it out: the daemons run as slurm, to whom "
            "their folders and files belong.",
            id="slurm-user",
        ),
        pytest.param(
            {"settings": {"UnkillableStepTimeout": 40}},
            "slurm_settings: UnkillableStepTimeout is 40; allowed is at least 50, five times MessageTimeout, for a "
            "shorter one drains nodes (slurm.conf(5)).",
            id="unkillable",
        ),
        pytest.param(
            {"settings": {"AccountingStorageType": None}},
            "slurm_settings: AccountingStorageTRES is 'gres/gpu', for which slurmctld wants AccountingStorageType "
            "accounting_storage/slurmdbd. Set both, or both to null.",
            id="tres-without-dbd",
        ),
        pytest.param(
            {"settings": {"GresTypes": "gpu,shard"}},
            "slurm_settings: GresTypes has shard, which no node has. Take it out, or give it in a node's gres.",
            id="gres-used-nowhere",
        ),
        pytest.param(
            {"settings": {"AccountingStorageTRES": "gres/nic"}},
            "slurm_settings: AccountingStorageTRES has gres/nic, which GresTypes (gpu) does not name. Add it there.",
            id="tres-of-no-type",
        ),
        pytest.param(
            {"settings": {"MetricsType": "metrics/openmetrics"}, "version": "24.11.5-4+deb13u1"},
            "slurm_settings: MetricsType needs Slurm 25.11 or newer, slurm_version is 24.11.5-4+deb13u1.",
            id="too-new",
        ),
        pytest.param(
            {"cgroup_settings": {"ConstrainCore": True}},
            "slurm_cgroup_settings: there is no key ConstrainCore. Did you mean ConstrainCores?",
            id="cgroup",
        ),
        pytest.param(
            {"slurmdbd_settings": {"StoragePass": "s3cret\n"}},
            "slurm_slurmdbd_settings: StoragePass is (value not shown); allowed is a text with something in it and no "
            "blanks around it. Set the key to null to leave it out.",
            id="slurmdbd",
        ),
        pytest.param(
            {"partitions": [{"name": "gpu", "nodes": []}]},
            "slurm_partitions, gpu: it has no nodes. Give it some, or take the partition out.",
            id="no-nodes",
        ),
        pytest.param(
            {"partitions": []},
            "slurm_partitions is empty; allowed is at least one, without which slurmctld does not start.",
            id="no-partition",
        ),
        pytest.param(
            {"cluster_name": "a b;x"},
            "slurm_cluster_name is 'a b;x'; allowed are letters, digits and _ . -",
            id="cluster-name",
        ),
        pytest.param(
            {"compute_hosts": ["gpu1", "gpu2", "gpu1"]},
            "slurm_compute_hosts: gpu1 is there twice. Give each host once.",
            id="host-twice",
        ),
        pytest.param(
            {"compute_hosts": ["gpu1", "gpu2", "g u"]},
            "slurm_compute_hosts: 'g u' is no host name. Allowed are letters, digits, '.', '_' and '-', at most 64 of "
            "them, and not the words ALL and DEFAULT.",
            id="host-name",
        ),
        pytest.param(
            {"compute_hosts": ["gpu1", "gpu2", "all"]},
            "slurm_compute_hosts: 'all' is no host name. Allowed are letters, digits, '.', '_' and '-', at most 64 of "
            "them, and not the words ALL and DEFAULT.",
            id="reserved",
        ),
        pytest.param(
            {"topologies": [{"name": "t", "type": "tree", "switches": [{"name": "s", "nodes": "gpu1"}]}]},
            "slurm_topologies: t: gpu2 are in none of it. Add them.",
            id="topology",
        ),
    ],
)
def test_bad_variables(given: dict[str, t.Any], message: str) -> None:
    assert found(**given) == [message]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        pytest.param(
            {"slurm_node_settings": {"cpus": -4}},
            "slurm_node_settings of gpu1: cpus is -4; allowed is a whole number from 1 to 65533.",
            id="negative",
        ),
        pytest.param(
            {"slurm_node_settings": {"reason": "a\nNodeName=evil"}},
            "slurm_node_settings of gpu1: reason is 'a\\nNodeName=evil'; line breaks, control characters and '#' "
            "cannot be written.",
            id="line-break",
        ),
        pytest.param(
            {"slurm_node_settings": {"gres": "nic:1"}},
            "slurm_settings: the node gpu1 has gres nic, which GresTypes (gpu) does not name. Add it there.",
            id="gres",
        ),
        pytest.param(
            {"slurm_node_settings": {"gres": "gpu:a100:1", "gres_autodetect": "nvml"}},
            "slurm_node_settings of gpu1: gres_autodetect nvml needs a Slurm built with NVML. Add --with-nvml to "
            "slurm_configure_flags, or use nvidia.",
            id="nvml",
        ),
        pytest.param(
            {"slurm_node_settings": {"RealMemory": 40000}, "memtotal_mb": 32000},
            "real_memory of gpu1 is 40000; allowed is at most 31488 MiB: gpu1 has 32000, and "
            "slurm_node_memory_reserve is 512.",
            id="memory-of-the-host",
        ),
        pytest.param(
            {"slurm_node_settings": {"real_memory": 40000}, "slurm_node_instance_type": "g6.2xlarge"},
            "real_memory of gpu1 is 40000; allowed is at most 32256 MiB: g6.2xlarge has 32768, and "
            "slurm_node_memory_reserve is 512.",
            id="memory-of-the-type",
        ),
        pytest.param(
            {"slurm_node_memory_reserve": 9000, "memtotal_mb": 8000},
            "slurm_node_memory_reserve of gpu1 is 9000; allowed is less than the 8000 MiB that gpu1 has.",
            id="reserve",
        ),
        pytest.param(
            {"slurm_node_instance_type": "g6.2xlage"},
            "slurm_node_instance_type of gpu1: Looking up the instance type 'g6.2xlage' failed: it is not in the "
            "table. Did you mean g6.2xlarge?",
            id="type",
        ),
        pytest.param(
            {"slurm_node_gpu_type": "l4:9"},
            "slurm_node_gpu_type of gpu1 is 'l4:9'; allowed are letters, digits and _ . -",
            id="gpu-type",
        ),
        pytest.param(
            {"slurm_node_address": "10.0.0.1 x"},
            "slurm_node_settings of gpu1: addr is '10.0.0.1 x'; allowed is a host name or an address.",
            id="address",
        ),
        pytest.param(
            {"slurm_node_settings": {"cpus": 6, "sockets": 1, "cores_per_socket": 4, "threads_per_core": 2}},
            "slurm_node_settings of gpu1: cpus is 6; allowed is the number of sockets, cores or threads: 1, 4, 8.",
            id="cpus",
        ),
        pytest.param(
            {"slurm_node_settings": {"mem_spec_limit": 2000, "real_memory": 1000}},
            "slurm_node_settings of gpu1: mem_spec_limit is 2000; allowed is less than real_memory, 1000.",
            id="mem-spec",
        ),
        pytest.param(
            {"slurm_node_settings": {"core_spec_count": 4, "sockets": 1, "cores_per_socket": 4}},
            "slurm_node_settings of gpu1: core_spec_count is 4; allowed is less than 4 cores.",
            id="core-spec",
        ),
        pytest.param(
            {"slurm_version": "26.11.0"},
            "slurm_version: slurmd 26.11.0 on gpu1, slurmctld 26.05.4 on ctl; allowed is a slurmctld at least as new. "
            "Upgrade slurmctld first.",
            id="version",
        ),
    ],
)
def test_bad_hosts(host: dict[str, t.Any], message: str) -> None:
    assert found({"gpu1": host}) == [message]


def test_all_faults_at_once_and_alike_hosts_together() -> None:
    bad = {"slurm_node_settings": {"cpus": -4}}
    messages = found({"gpu1": bad, "gpu2": bad}, settings={"A": 1, "KillWait": "x"}, partitions=[{"name": "p", "q": 1}])
    assert len(messages) == 4
    assert "slurm_node_settings of gpu[1-2]: cpus is -4; allowed is a whole number from 1 to 65533." in messages


def test_two_nodes_of_one_address() -> None:
    assert found({"gpu1": {"slurm_node_address": "10.0.0.1"}, "gpu2": {"slurm_node_address": "10.0.0.2"}}) == []
    one = {"slurm_node_address": "10.0.0.1"}
    assert found({"gpu1": one, "gpu2": one}) == [
        "slurm_node_address is 10.0.0.1 for gpu1 and gpu2. Give each host its own, or leave it out."
    ]


def test_the_reserve_counts_also_where_nodes_are_overridden() -> None:
    host = {"slurm_node_memory_reserve": 99999999, "memtotal_mb": 32000}
    assert found({"gpu1": host}, settings={"SlurmdParameters": "config_overrides"}) == [
        "slurm_node_memory_reserve of gpu1 is 99999999; allowed is less than the 32000 MiB that gpu1 has."
    ]


def test_overridden_nodes_may_claim_more() -> None:
    host = {"slurm_node_settings": {"real_memory": 40000}, "memtotal_mb": 32000}
    assert found({"gpu1": host}, settings={"SlurmdParameters": "config_overrides"}) == []


def test_host_variables() -> None:
    hostvars = {
        "gpu1": {"slurm_node_cpus": 8, "other": 1, "ansible_facts": {"memtotal_mb": 1000, "x": 1}},
        "gpu2": {},
    }
    assert host_variables(hostvars, ["gpu1", "gpu2", "gone", "gpu1"]) == {
        "gpu1": {"slurm_node_cpus": 8, "memtotal_mb": 1000},
        "gpu2": {},
    }


@pytest.mark.parametrize(
    ("database", "controller", "compute", "message"),
    [
        pytest.param("26.05.4", "26.05.4", "26.05.4", "", id="same"),
        pytest.param("26.05.4", "25.11.8", "24.11.5-4+deb13u1", "", id="in-order"),
        pytest.param("25.11.8", "26.05.4", "26.05.4", "allowed is a slurmdbd at least as new", id="database-old"),
        pytest.param("26.05.4", "24.11.5", "25.11.8", "allowed is a slurmctld at least as new", id="compute-new"),
        pytest.param("26.05.4", "24.05.4", "24.05.4", "more than 3 releases apart. Go by way of 25.11.", id="too-far"),
        pytest.param("new", "26.05.4", "26.05.4", "slurm_version of d is 'new'; allowed is a version", id="no-version"),
    ],
)
def test_versions(database: str, controller: str, compute: str, message: str) -> None:
    faults = version_faults({"d": database}, {"c": controller}, {"n": compute})
    assert len(faults) == bool(message)
    assert message in "".join(faults)


def test_release_of() -> None:
    assert release_of("24.11.5-4+deb13u1") == "24.11"
    assert release_of("x") is None


def test_every_instance_type_makes_a_node_that_slurm_takes() -> None:
    assert "DescribeInstanceTypes" in SOURCE
    for name, kind in INSTANCE_TYPES.items():
        assert kind.vcpus == kind.cores * kind.threads_per_core
        node = {"name": "n1", **instance_type(name)["node"]}
        text = slurm_conf({"ClusterName": "c", "SlurmctldHost": "h"}, [node], [])
        assert f"NodeName=n1 CPUs={kind.vcpus} RealMemory=" in text
        assert f"Gres=gpu:{kind.gpu_type}:{kind.gpus}" in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("g6.2xlarge", {"vcpus": 8, "gpus": 1, "gpu_type": "l4", "memory": 32768, "efa_interfaces": 0, "disk_gb": 450}),
        ("g6e.12xlarge", {"gpus": 4, "gpu_type": "l40s", "network_gbps": 100.0, "efa_interfaces": 1}),
        ("p4d.24xlarge", {"gpus": 8, "gpu_type": "a100", "network_gbps": 400.0, "efa_interfaces": 4, "disks": 8}),
        ("p5.48xlarge", {"vcpus": 192, "gpus": 8, "gpu_type": "h100", "memory": 2097152, "efa_interfaces": 32}),
        ("p5e.48xlarge", {"gpu_type": "h200", "gpu_memory": 144384}),
    ],
)
def test_instance_type(name: str, expected: dict[str, t.Any]) -> None:
    found = instance_type(name)
    assert {key: found[key] for key in expected} == expected


def test_unknown_instance_type() -> None:
    with pytest.raises(SlurmConfError, match="'g6.2xlage' failed: it is not in the table. Did you mean g6.2xlarge?"):
        instance_type("g6.2xlage")
