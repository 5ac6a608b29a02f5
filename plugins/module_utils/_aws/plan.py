# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster on EC2 consists of, from its settings alone; ids come in when EC2 has given them."""

from __future__ import annotations

import ipaddress
import typing as t

from .settings import Group, groups

CLUSTER_TAG: t.Final = "llmops-cluster"
ROLE_TAG: t.Final = "llmops-role"
GROUP_TAG: t.Final = "llmops-group"
ELASTIC_TAG: t.Final = "llmops-elastic"
# The public host key of an instance, learnt from its console; inventories hand it to ssh.
HOST_KEY_TAG: t.Final = "llmops-host-key"
# More zones give a group more places, and subnets cost nothing; four leave room in the smallest network.
_ZONES: t.Final = 4


def zones(given: t.Mapping[str, t.Any], available: t.Sequence[str]) -> list[str]:
    """The zones that the cluster spreads over: those that the user named, else the first that EC2 has."""
    return list(given["zones"]) or sorted(available)[:_ZONES]


def subnets(given: t.Mapping[str, t.Any], chosen: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """One public subnet, for the controller and the NAT gateway, then one a zone for compute nodes.

    An eighth of the network each, by position, so that a zone more moves none.
    """
    parts = list(ipaddress.ip_network(given["network"]).subnets(prefixlen_diff=3))
    public = {"name": f"{given['name']}-public-{chosen[0]}", "zone": chosen[0], "cidr": str(parts[0]), "public": True}
    more = [
        {"name": f"{given['name']}-nodes-{zone}", "zone": zone, "cidr": str(part), "public": not given["nat"]}
        for zone, part in zip(chosen, parts[1:], strict=False)
    ]
    return [public, *more]


def tags(given: t.Mapping[str, t.Any]) -> dict[str, str]:
    """What everything bears. What a user adds takes no place of ours."""
    return {**{str(key): str(value) for key, value in given["tags"].items()}, CLUSTER_TAG: str(given["name"])}


def template_name(given: t.Mapping[str, t.Any], group: Group, zone: str) -> str:
    """A launch template for each group and zone: with EFA the subnet is part of it."""
    return f"{given['name']}-{group.name}-{zone}"


def group_zones(given: t.Mapping[str, t.Any], group: Group, chosen: t.Sequence[str]) -> list[str]:
    """Where the nodes of a group may be. Those that belong together are in one zone, by default the controller's."""
    if group.is_controller:
        return [group.zone or chosen[0]]
    if group.zone:
        return [group.zone]
    return [chosen[0]] if group.is_together else list(chosen)


def nodes(given: t.Mapping[str, t.Any], chosen: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """All nodes with the places where each is tried in turn: the wanted size in every zone before another size."""
    return [
        {
            "name": name,
            "role": group.role,
            "group": group.name,
            "types": group.types,
            "elastic": group.elastic,
            "market": group.market,
            "places": [
                {"type": kind, "zone": zone, "template": template_name(given, group, zone)}
                for kind in group.types
                for zone in group_zones(given, group, chosen)
            ],
        }
        for group in groups(given)
        for name in group.nodes
    ]


def placement_groups(given: t.Mapping[str, t.Any]) -> list[str]:
    """Names of placement groups, of the groups whose nodes talk over EFA."""
    return [f"{given['name']}-{group.name}" for group in groups(given) if group.is_together]


def rules(given: t.Mapping[str, t.Any]) -> dict[str, list[dict[str, t.Any]]]:
    """Who may reach the cluster: its members everything, the admin's networks SSH on the controller, nobody else."""
    within = {"proto": -1, "group_name": f"{given['name']}-cluster", "rule_desc": "Members of the cluster"}
    everywhere = {"proto": -1, "cidr_ip": "0.0.0.0/0", "rule_desc": "Packages, models and EC2 itself"}
    admin = [
        {"proto": "tcp", "ports": [22], "cidr_ip": str(cidr), "rule_desc": "SSH of an admin"}
        for cidr in (given["admin_cidrs"] if given["connection"] == "ssh" else [])
    ]
    return {
        "cluster": [within],
        # EFA wants to see its own group in the way out too; 0.0.0.0/0 does not count for it.
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-start.html
        "cluster_out": [everywhere, *([within] if any(group.efa for group in groups(given)) else [])],
        "admin": admin,
    }
