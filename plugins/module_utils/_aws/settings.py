# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a cluster on EC2 with their defaults filled in."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES

CONTROLLER: t.Final = "ctl"
MARKETS: t.Final = ("on-demand", "spot")
# Key -> type, of an entry of aws_cluster_nodes.
NODE_KEYS: t.Final[dict[str, type]] = {
    "name": str,
    "type": str,
    "count": int,
    "alternatives": list,
    "market": str,
    "disk_gb": int,
    "disk_mibps": int,
    "disk_iops": int,
    "efa": bool,
    "elastic": bool,
    "zone": str,
}
CONTROLLER_KEYS: t.Final = {key: NODE_KEYS[key] for key in ("type", "disk_gb", "disk_mibps", "disk_iops", "zone")}
_DEFAULTS: t.Final[dict[str, t.Any]] = {
    "alternatives": [],
    "market": "on-demand",
    "disk_gb": 200,
    # gp3's own 125 MiB/s makes a model of 14 GB load for two minutes.
    "disk_mibps": 600,
    "disk_iops": 6000,
    "elastic": False,
    "zone": "",
}
_CONTROLLER_DEFAULTS: t.Final[dict[str, t.Any]] = {
    "type": "m7i.xlarge",
    "disk_gb": 100,
    "disk_mibps": 250,
    "disk_iops": 3000,
    "efa": False,
}


@dataclasses.dataclass(frozen=True)
class Group:
    """Nodes of one kind; the controller is one of its own. Disk in GiB, MiB/s and operations a second."""

    name: str
    type: str
    count: int
    alternatives: list[str]
    market: str
    disk_gb: int
    disk_mibps: int
    disk_iops: int
    efa: bool
    elastic: bool
    zone: str

    @property
    def is_controller(self) -> bool:
        """Whether this is the controller."""
        return self.name == CONTROLLER

    @property
    def role(self) -> str:
        """The value of the tag llmops-role."""
        return "controller" if self.is_controller else "compute"

    @property
    def types(self) -> list[str]:
        """The size that is wanted, then those that will do."""
        return [self.type, *self.alternatives]

    @property
    def nodes(self) -> list[str]:
        """The names of the group's nodes."""
        return [self.name] if self.is_controller else [f"{self.name}{number}" for number in range(1, self.count + 1)]

    @property
    def is_together(self) -> bool:
        """Whether its nodes belong close to each other: in one zone and one placement group."""
        return self.efa and self.count > 1


def node_group(one: t.Mapping[str, t.Any], defaults: t.Mapping[str, t.Any]) -> Group:
    """An entry of aws_cluster_nodes. EFA is on where each of its sizes has it and nodes have others to talk to."""
    filled = {**_DEFAULTS, **defaults, **one}
    capable = all(kind in INSTANCE_TYPES and INSTANCE_TYPES[kind].efa_interfaces for kind in _types(filled))
    filled.setdefault("efa", capable and filled["count"] > 1)
    return Group(**{field.name: filled[field.name] for field in dataclasses.fields(Group)})


def controller(one: t.Mapping[str, t.Any]) -> Group:
    """The controller, from aws_cluster_controller."""
    return node_group({**_CONTROLLER_DEFAULTS, **one, "name": CONTROLLER, "count": 1}, {})


def groups(given: t.Mapping[str, t.Any]) -> list[Group]:
    """The controller, then the groups of compute nodes."""
    defaults = given.get("node_defaults") or {}
    return [controller(given.get("controller") or {}), *(node_group(one, defaults) for one in given["nodes"])]


def _types(filled: t.Mapping[str, t.Any]) -> list[str]:
    return [filled["type"], *filled["alternatives"]]
