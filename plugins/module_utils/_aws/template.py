# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of launch templates, in the words of EC2's RequestLaunchTemplateData."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES

from . import plan
from .settings import Group, groups


def templates(
    given: t.Mapping[str, t.Any], chosen: t.Sequence[str], ids: t.Mapping[str, t.Any]
) -> list[dict[str, t.Any]]:
    """Name and data of every launch template.

    ids: image and root_device of the machine image, subnets by name, cluster_group and admin_group (security groups),
    profile (name of the instance profile, by role) and key (name of the key pair, or nothing).
    """
    layout = plan.subnets(given, chosen)
    return [
        {"name": plan.template_name(given, group, zone), "data": _data(given, group, _subnet(layout, group, zone), ids)}
        for group in groups(given)
        for zone in plan.group_zones(given, group, chosen)
    ]


def _subnet(layout: t.Sequence[t.Mapping[str, t.Any]], group: Group, zone: str) -> t.Mapping[str, t.Any]:
    mine = layout[:1] if group.is_controller else layout[1:]
    return next(one for one in mine if one["zone"] == zone)


def _data(
    given: t.Mapping[str, t.Any], group: Group, subnet: t.Mapping[str, t.Any], ids: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    marks = {**plan.tags(given), plan.ROLE_TAG: group.role, plan.GROUP_TAG: group.name}
    data: dict[str, t.Any] = {
        "ImageId": ids["image"],
        "InstanceType": group.type,
        # Version 2 wants a token that no proxy and no container behind a hop can fetch.
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [
            {
                "DeviceName": ids["root_device"],
                "Ebs": {
                    "VolumeType": "gp3",
                    "VolumeSize": group.disk_gb,
                    "Iops": group.disk_iops,
                    "Throughput": group.disk_mibps,
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "NetworkInterfaces": _interfaces(given, group, subnet, ids),
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in sorted(marks.items())]}
            for kind in ("instance", "volume", "network-interface")
        ],
    }
    profile = ids["profile"].get(group.role)
    if profile:
        data["IamInstanceProfile"] = {"Name": profile}
    if ids.get("key"):
        data["KeyName"] = ids["key"]
    if group.is_controller:
        data["DisableApiTermination"] = True
    if group.is_together:
        data["Placement"] = {"GroupName": f"{given['name']}-{group.name}"}
    if group.market == "spot":
        # An elastic node that may be stopped is started again; a one-time request ends with its instance.
        data["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    return data


def _interfaces(
    given: t.Mapping[str, t.Any], group: Group, subnet: t.Mapping[str, t.Any], ids: t.Mapping[str, t.Any]
) -> list[dict[str, t.Any]]:
    """One interface; with EFA one on each network card, of which none can have a public address when they are many."""
    member = [ids["cluster_group"], *([ids["admin_group"]] if group.is_controller and ids.get("admin_group") else [])]
    cards = min(INSTANCE_TYPES[kind].network_cards for kind in group.types) if group.efa else 1
    made = []
    for card in range(cards):
        one: dict[str, t.Any] = {
            "DeviceIndex": 0 if card == 0 else 1,
            "SubnetId": ids["subnets"][subnet["name"]],
            "Groups": member,
            "DeleteOnTermination": True,
        }
        if cards == 1:
            one["AssociatePublicIpAddress"] = bool(subnet["public"])
        if group.efa:
            one |= {"InterfaceType": "efa", "NetworkCardIndex": card}
        made.append(one)
    return made
