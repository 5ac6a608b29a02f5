# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with the instances that are there: start, launch, replace, remove, or ask a person."""

from __future__ import annotations

import typing as t

from . import plan

ALIVE: t.Final = ("pending", "running", "stopping", "stopped")


def actions(
    given: t.Mapping[str, t.Any], wanted: t.Sequence[t.Mapping[str, t.Any]], found: t.Sequence[t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """From ec2_instance_info's answer to what comes next.

    launch: nodes without an instance. start: ids of stopped instances, but of elastic nodes, which are Slurm's. replace
    and remove: instances that go, by node. going: their ids, and those of duplicates of a node that has an older one.
    instances: id by node. problems: what a person has to decide.
    """
    by_name: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for instance in sorted(found, key=lambda one: (str(one["launch_time"]), one["instance_id"])):
        if instance["state"]["name"] in ALIVE:
            by_name.setdefault(instance["tags"].get("Name", ""), []).append(instance)
    nodes = {node["name"]: node for node in wanted}
    gone = [name for name in given["replace"] if name in by_name]
    kept = {name: found[0] for name, found in by_name.items() if name in nodes and name not in gone}
    replace = {name: [one["instance_id"] for one in by_name[name]] for name in gone}
    remove = {name: [one["instance_id"] for one in found] for name, found in by_name.items() if name not in nodes}
    duplicates = [one["instance_id"] for name in kept for one in by_name[name][1:]]
    return {
        "launch": [node for name, node in nodes.items() if name not in kept],
        "start": [
            one["instance_id"]
            for name, one in kept.items()
            if one["state"]["name"] in ("stopping", "stopped") and not nodes[name]["elastic"]
        ],
        "replace": replace,
        "remove": remove,
        "going": [*duplicates, *(one for found in (*replace.values(), *remove.values()) for one in found)],
        "instances": {name: one["instance_id"] for name, one in kept.items()},
        "problems": _sizes(kept, nodes),
    }


def _sizes(kept: t.Mapping[str, t.Mapping[str, t.Any]], nodes: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    return [
        f"{name} is a {one['instance_type']}, and its group wants {' or '.join(nodes[name]['types'])}. Have it made "
        f"anew (-e aws_cluster_replace={name}), or add {one['instance_type']} to the alternatives of its group."
        for name, one in kept.items()
        if nodes[name]["role"] == "compute" and one["instance_type"] not in nodes[name]["types"]
    ]


def hosts(
    wanted: t.Sequence[t.Mapping[str, t.Any]], found: t.Sequence[t.Mapping[str, t.Any]] = ()
) -> list[dict[str, t.Any]]:
    """The hosts of the inventory: all that are wanted, with what EC2 says of those that are there."""
    there = {one["tags"].get("Name"): one for one in found if one["state"]["name"] in ALIVE}
    return [_host(node, there.get(node["name"], {})) for node in wanted]


def _host(node: t.Mapping[str, t.Any], one: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    first = node["places"][0]
    private, public = one.get("private_ip_address") or "", one.get("public_ip_address") or ""
    return {
        "name": node["name"],
        "groups": _groups(node),
        "variables": {
            "ansible_host": public if node["role"] == "controller" else private,
            "llmops_group": node["group"],
            "llmops_instance_id": one.get("instance_id", ""),
            "llmops_instance_type": one.get("instance_type", first["type"]),
            "llmops_zone": one.get("placement", {}).get("availability_zone", first["zone"]),
            "llmops_private_address": private,
            "llmops_public_address": public,
            "llmops_host_key": one.get("tags", {}).get(plan.HOST_KEY_TAG, ""),
            "llmops_state": one.get("state", {}).get("name", "absent"),
        },
    }


def _groups(node: t.Mapping[str, t.Any]) -> list[str]:
    """As llmops.aws_ec2.yml of the inventory makes them of tags."""
    if node["role"] == "controller":
        return ["slurm_controller"]
    return [
        "slurm_compute",
        "group_" + node["group"].replace("-", "_"),
        *(["slurm_elastic"] if node["elastic"] else []),
        *(["slurm_spot"] if node["market"] == "spot" else []),
    ]
