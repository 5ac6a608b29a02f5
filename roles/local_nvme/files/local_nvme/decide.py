# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lsblk and slurmctld say, and what follows from it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

LABEL = "llmops-models"
FILE_SYSTEM = "ext4"
ARRAY = "/dev/md/" + LABEL
_MEMBER, _STRIPED = "linux_raid_member", "raid0"

# What is to be done with the disks.
NONE, MOUNTED, MOUNT, ASSEMBLE, FORMAT, MAKE = "none", "mounted", "mount", "assemble", "format", "make"

# Every reason of ours begins with it.
PREFIX = "local_nvme: "
LOST = PREFIX + "the models of this node are gone, site.yml fetches them again"


class DiskError(Exception):
    """The disks cannot be used as they are."""


class Device(NamedTuple):
    """A disk, or what lies on it."""

    path: str
    type: str
    holds: str
    label: str
    mounts: tuple[str, ...]
    children: tuple[Device, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.holds or self.mounts or self.children)


class Plan(NamedTuple):
    """What is to be done, and with which devices."""

    action: str
    devices: tuple[str, ...] = ()


class Node(NamedTuple):
    """This node as slurmctld has it."""

    drained: bool
    reason: str


def devices(disks: Sequence[str], found: Mapping[str, Any], probe: Callable[[str], str]) -> dict[str, Device]:
    """These disks by path: what lies on them and is mounted from `lsblk --json`, what they hold from `probe`.

    What lsblk itself says of their content is what udev knew, which may be older than the disk's.
    """
    return {one["path"]: _device(one, probe) for one in _walk(found.get("blockdevices") or ()) if one["path"] in disks}


def _walk(found: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for one in found:
        yield one
        yield from _walk(one.get("children") or ())


def _device(one: Mapping[str, Any], probe: Callable[[str], str]) -> Device:
    content = dict(line.split("=", 1) for line in probe(one["path"]).splitlines() if "=" in line)
    table = f"a partition table ({content['PTTYPE']})" if "PTTYPE" in content else ""
    return Device(
        path=one["path"],
        type=one.get("type") or "",
        holds=content.get("TYPE") or table,
        label=content.get("LABEL", ""),
        mounts=tuple(mount for mount in one.get("mountpoints") or () if mount),
        children=tuple(_device(child, probe) for child in one.get("children") or ()),
    )


def plan(disks: Sequence[str], known: Mapping[str, Device], folder: str) -> Plan:
    """What these disks need to be the folder. DiskError where they hold something that is not ours."""
    missing = [path for path in disks if path not in known]
    if missing:
        raise DiskError(f"lsblk does not list {', '.join(missing)}")
    if not disks:
        return Plan(NONE)
    mine = [known[path] for path in disks]
    if all(disk.is_empty for disk in mine):
        return Plan(MAKE, tuple(disks))
    if len(mine) == 1:
        return _ready(mine[0], folder)
    if not all(disk.holds == _MEMBER for disk in mine):
        raise DiskError(_words([disk for disk in mine if not disk.is_empty]))
    if not any(disk.children for disk in mine):
        return Plan(ASSEMBLE, tuple(disks))
    return _ready(_array(mine), folder)


def _array(mine: Sequence[Device]) -> Device:
    """The one array that has each of the disks."""
    arrays = {disk.children for disk in mine}
    (first, *others) = arrays
    if others or len(first) != 1 or first[0].type != _STRIPED:
        raise DiskError(_words(mine))
    return first[0]


def _ready(device: Device, folder: str) -> Plan:
    if device.type == _STRIPED and device.is_empty:
        return Plan(FORMAT, (device.path,))
    if (device.holds, device.label) != (FILE_SYSTEM, LABEL) or device.children:
        raise DiskError(_words([device]))
    if not device.mounts:
        return Plan(MOUNT, (device.path,))
    if device.mounts != (folder,):
        raise DiskError(f"{device.path} is mounted at {', '.join(device.mounts)}, not at {folder}")
    return Plan(MOUNTED, (device.path,))


def _words(held: Sequence[Device]) -> str:
    return "; ".join(f"{one.path} holds {_content(one)}" for one in held) + ": nothing was touched"


def _content(one: Device) -> str:
    below = [f"{child.path} ({child.type})" for child in one.children]
    named = f"{one.holds or 'nothing'}{f' named {one.label}' if one.label else ''}"
    return " with ".join([named, *([", ".join(below)] if below else [])])


def parse_node(text: str) -> Node:
    """State and reason from `scontrol --oneliner show node`; ValueError when it says something else."""
    state = re.search(r"\bState=(\S+)", text)
    if not state:
        raise ValueError(f"no State in {text[:200]!r}")
    reason = re.search(r"\bReason=(.*?)(?: \[[^\]]*\])?\s*$", text)
    return Node("DRAIN" in state.group(1), reason.group(1).strip() if reason else "")


def needs_drain(node: Node, passing: Sequence[str]) -> bool:
    """Whether the node must be kept from jobs by us: a drain that nobody ends by himself keeps its reason."""
    return not node.drained or node.reason.startswith(tuple(passing))


def is_ours(node: Node) -> bool:
    return node.drained and node.reason.startswith(PREFIX)
