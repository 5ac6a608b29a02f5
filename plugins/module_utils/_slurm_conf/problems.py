# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is wrong with the variables of a cluster, before any host is touched. Private to this collection."""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import plan
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import VARIABLES, SlurmConfError, told
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hardware import memory_faults
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import ini_lines, merge, normal
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import NODE
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.topology import topology_file
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.versions import version_faults

# What ParallelCluster lets jobs have of the memory that EC2 announces (SchedulableMemory): the kernel reports less.
USABLE: t.Final = 0.95
# slurm_node_memory_reserve of the role.
DEFAULT_RESERVE: t.Final = 512
# The role sets them itself.
_ALWAYS: t.Final = {"ClusterName": "cluster", "SlurmctldHost": "controller", "AccountingStorageHost": "database"}
# These belong to more than slurm.conf: the rest would go by another value.
_ELSEWHERE: t.Final = {
    "authtype": "Set slurm_auth: keys, services and database go by it.",
    "credtype": "Set slurm_auth: keys, services and database go by it.",
    "clustername": "Set slurm_cluster_name: accounting and the saved jobs go by it.",
    "slurmuser": "Take it out: the daemons run as slurm, to whom their folders and files belong.",
}
_WORD: t.Final = re.compile(r"[A-Za-z0-9_.-]+")
_READ: t.Final = (
    "slurm_node_gpu_type",
    "slurm_node_settings",
    "slurm_node_cpus",
    "slurm_node_address",
    "slurm_node_memory_reserve",
    "slurm_node_instance_type",
    "slurm_version",
)


def instance_type(name: t.Any) -> dict[str, t.Any]:
    """What an EC2 instance type has, and a node of it for slurm_conf()."""
    found = INSTANCE_TYPES.get(name) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name), INSTANCE_TYPES, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(INSTANCE_TYPES)}."
        raise SlurmConfError(f"Looking up the instance type {name!r} failed: it is not in the table. {hint}")
    node = {
        "cpus": found.vcpus,
        "real_memory": int(found.memory * USABLE),
        "gres": [f"gpu:{found.gpu_type}:{found.gpus}"],
    }
    return {**found._asdict(), "node": node}


def _number(value: t.Any) -> int:
    return int(value) if str(value).strip().lstrip("-").isdigit() else 0


def _node(name: str, host: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The node as far as variables say it; a host's own settings go over the rest."""
    settings = host.get("slurm_node_settings") or {}
    cpus, address = _number(host.get("slurm_node_cpus")), host.get("slurm_node_address")
    node = {"name": name, **({"cpus": cpus} if cpus else {}), **({"addr": address} if address else {})}
    return merge(node, settings) if isinstance(settings, Mapping) else node


def _memory(name: str, node: Mapping[str, t.Any], host: Mapping[str, t.Any], *, overridden: bool) -> list[str]:
    """Memory above what the facts say, where there are some, or the table of instance types."""
    reserve = _number(host.get("slurm_node_memory_reserve", DEFAULT_RESERVE))
    kind = host.get("slurm_node_instance_type")
    wanted = next((node[key] for key in node if NODE.spelled(key) == "RealMemory"), None)
    # What slurmd shall believe anyway is not compared with what the host has.
    wanted = wanted if isinstance(wanted, int) and not overridden else None
    has = _number(host.get("memtotal_mb"))
    if has:
        return memory_faults(name, wanted, has, reserve, name)
    if not kind:
        return []
    try:
        return memory_faults(name, wanted, instance_type(kind)["memory"], reserve, kind)
    except SlurmConfError as error:
        return [f"slurm_node_instance_type of {name}: {error}"]


def _twice(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    again = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    return [f"slurm_compute_hosts: {name} is there twice. Give each host once." for name in dict.fromkeys(again)]


def _addresses(hosts: Mapping[str, Mapping[str, t.Any]], compute: Sequence[str]) -> list[str]:
    """One address for two nodes: slurmctld would send the jobs of both to one host."""
    seen: dict[str, list[str]] = {}
    for name in dict.fromkeys(compute):
        address = hosts.get(name, {}).get("slurm_node_address")
        if address:
            seen.setdefault(str(address), []).append(name)
    return [
        f"slurm_node_address is {address} for {' and '.join(names)}. Give each host its own, or leave it out."
        for address, names in seen.items()
        if len(names) > 1
    ]


def _versions(hosts: Mapping[str, Mapping[str, t.Any]], given: Mapping[str, t.Any]) -> list[str]:
    usual = str(given.get("version") or "")
    return version_faults(
        *(
            {name: str(hosts.get(name, {}).get("slurm_version") or usual) for name in given.get(word, ())}
            for word in ("database_hosts", "controller_hosts", "compute_hosts")
        )
    )


def _names(hosts: Mapping[str, Mapping[str, t.Any]], given: Mapping[str, t.Any]) -> list[str]:
    """Words that stand in a line among others, where a blank or a colon would begin the next."""
    words = {"slurm_cluster_name": given.get("cluster_name")}
    words |= {f"slurm_node_gpu_type of {name}": host.get("slurm_node_gpu_type") for name, host in hosts.items()}
    return [
        f"{what} is {value!r}; allowed are letters, digits and _ . -"
        for what, value in words.items()
        if value and not (isinstance(value, str) and _WORD.fullmatch(value))
    ]


def _elsewhere(settings: t.Any) -> list[str]:
    given = settings if isinstance(settings, Mapping) else {}
    return [
        f"slurm_settings has {key}, which is not set there. {_ELSEWHERE[normal(str(key))]}"
        for key in given
        if normal(str(key)) in _ELSEWHERE
    ]


def problems(hosts: Mapping[str, Mapping[str, t.Any]], given: Mapping[str, t.Any]) -> list[str]:
    """Sentences that name variable, host, value and what is allowed; empty where all is well.

    `hosts` is host -> its variables (slurm_node_*, slurm_version, and memtotal_mb where it is known), `given` the
    variables of the role by their names without slurm_.
    """
    compute = list(given.get("compute_hosts", ()))
    nodes = {name: _node(name, hosts.get(name, {})) for name in compute}
    settings = given.get("settings") or {}
    version = given.get("version")
    faults = _twice(compute) + _addresses(hosts, compute) + _names(hosts, given) + _elsewhere(settings)
    if given.get("partitions") == []:
        faults.append("slurm_partitions is empty; allowed is at least one, without which slurmctld does not start.")
    found = plan(
        merge(_ALWAYS, settings) if isinstance(settings, Mapping) else settings,
        nodes.values(),
        given.get("partitions", []),
        given.get("partition_defaults"),
        version,
        given.get("configure_flags"),
        more_gres=("gpu",),
    )
    faults += told(found.faults, VARIABLES)
    for word, file in (("cgroup_settings", "cgroup.conf"), ("slurmdbd_settings", "slurmdbd.conf")):
        faults += [f"slurm_{word}: {fault}" for fault in ini_lines(given.get(word) or {}, file, version)[1]]
    # With it slurmd believes slurm.conf, whatever the host has.
    overridden = "config_overrides" in found.settings.one("SlurmdParameters")
    for name, node in nodes.items():
        faults += _memory(name, node, hosts.get(name, {}), overridden=overridden)
    faults += _versions(hosts, given)
    try:
        topology_file(given.get("topologies"), nodes, str(version or ""))
    except SlurmConfError as error:
        faults += [f"slurm_topologies: {line.split(': ', 1)[-1]}" for line in str(error).splitlines()]
    return list(dict.fromkeys(faults))


def host_variables(hostvars: t.Any, names: Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """The variables of each host that the checks read; a host that is not in the inventory has none."""
    found: dict[str, dict[str, t.Any]] = {}
    for name in dict.fromkeys(names):
        if name not in hostvars:
            continue
        host = hostvars[name]
        found[name] = {key: host[key] for key in _READ if key in host}
        facts = host.get("ansible_facts") or {}
        if "memtotal_mb" in facts:
            found[name]["memtotal_mb"] = facts["memtotal_mb"]
    return found
