# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run would do, for people."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES


def summary(
    given: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any], fleet: t.Mapping[str, t.Any], bill: t.Mapping[str, t.Any]
) -> list[str]:
    """Lines: where, who may come in, each node and what becomes of it, and the bill."""
    doors = ", ".join(map(str, given["admin_cidrs"])) if given["connection"] == "ssh" else "nobody; Systems Manager"
    lines = [
        f"Cluster {given['name']} in {', '.join(plan['zones'])}, network {given['network']}.",
        f"SSH of the controller is open to {doors}. Nothing else is open.",
        f"Image: the newest {plan['image']['name']} of {plan['image']['owner']}, unless the cluster has one.",
        *_nodes(plan["nodes"], fleet),
        *_local_disks(plan["nodes"]),
    ]
    for name in sorted(fleet["remove"]):
        lines.append(f"  {name}: in no group any more; terminated with -e aws_cluster_remove=true")
    return [*lines, *plan["warnings"], *bill["text"]]


def _nodes(nodes: t.Sequence[t.Mapping[str, t.Any]], fleet: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    launch = {node["name"] for node in fleet["launch"]}
    for node in nodes:
        name = node["name"]
        if name in fleet["replace"]:
            what = "terminate and launch anew"
        elif name in launch:
            what = "launch"
        elif fleet["instances"][name] in fleet["start"]:
            what = f"start {fleet['instances'][name]}"
        else:
            what = f"there ({fleet['instances'][name]})"
        kinds = " or ".join(node["types"])
        spot = ", spot" if node["market"] == "spot" else ""
        yield f"  {name}: {node['role']}, {kinds}{spot}: {what}"


def _local_disks(nodes: t.Sequence[t.Mapping[str, t.Any]]) -> t.Iterator[str]:
    """Which sizes bring disks of their own: what the role local_nvme finds on them."""
    kinds = {kind for node in nodes if node["role"] == "compute" and not node["elastic"] for kind in node["types"]}
    for kind in sorted(kinds & INSTANCE_TYPES.keys()):
        one = INSTANCE_TYPES[kind]
        if one.disks:
            yield f"Local NVMe for models: {kind} has {one.disks} x {one.disk_gb} GB, empty after each stop."
