# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lsblk prints of disks, and what is done with them: nothing that is not ours is ever touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.decide import (
    DiskError,
    Node,
    Plan,
    devices,
    is_ours,
    needs_drain,
    parse_node,
    plan,
)

FOLDER = "/opt/models"
ROOT = {
    "path": "/dev/nvme0n1",
    "type": "disk",
    "fstype": None,
    "label": None,
    "mountpoints": [None],
    "children": [
        {"path": "/dev/nvme0n1p1", "type": "part", "fstype": "xfs", "label": "root", "mountpoints": ["/"]},
        {"path": "/dev/nvme0n1p128", "type": "part", "fstype": "vfat", "label": None, "mountpoints": ["/boot/efi"]},
    ],
}
ONE, TWO = "/dev/nvme1n1", "/dev/nvme2n1"


def disk(path: str, fstype: str | None = None, **more: Any) -> dict[str, Any]:
    return {"path": path, "type": "disk", "fstype": fstype, "label": None, "mountpoints": [None], **more}


def array(fstype: str | None = "ext4", **more: Any) -> dict[str, Any]:
    found = {"path": "/dev/md127", "type": "raid0", "fstype": fstype, "mountpoints": [None]}
    return {**found, "label": "llmops-models" if fstype else None, **more}


def members(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        disk(ONE, "linux_raid_member", children=one),
        disk(TWO, "linux_raid_member", children=two),
    ]


def export(one: dict[str, Any]) -> dict[str, str]:
    """What blkid prints of a device and of those on it."""
    words = {"TYPE": one.get("fstype"), "LABEL": one.get("label")}
    found = {one["path"]: "".join(f"{key}={value}\n" for key, value in words.items() if value)}
    for child in one.get("children", []):
        found |= export(child)
    return found


def decided(*found: dict[str, Any]) -> Plan:
    paths = [one["path"] for one in found]
    content = {path: text for one in (ROOT, *found) for path, text in export(one).items()}
    return plan(paths, devices(paths, {"blockdevices": [ROOT, *found]}, content.__getitem__), FOLDER)


DONE: dict[str, tuple[list[dict[str, Any]], Plan]] = {
    "no local disk": ([], Plan("none")),
    "one, empty": ([disk(ONE)], Plan("make", (ONE,))),
    "one, ours": ([disk(ONE, "ext4", label="llmops-models")], Plan("mount", (ONE,))),
    "one, ours and mounted": (
        [disk(ONE, "ext4", label="llmops-models", mountpoints=[FOLDER])],
        Plan("mounted", (ONE,)),
    ),
    "two, empty": ([disk(ONE), disk(TWO)], Plan("make", (ONE, TWO))),
    "two, an array that the boot did not assemble": (members([], []), Plan("assemble", (ONE, TWO))),
    "two, an array": (members([array()], [array()]), Plan("mount", ("/dev/md127",))),
    "two, an array, mounted": (
        members([array(mountpoints=[FOLDER])], [array(mountpoints=[FOLDER])]),
        Plan("mounted", ("/dev/md127",)),
    ),
    "two, broken off between array and file system": (
        members([array(None)], [array(None)]),
        Plan("format", ("/dev/md127",)),
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_what_is_done(name: str) -> None:
    found, expected = DONE[name]
    assert decided(*found) == expected


PARTITION = {"path": ONE + "p1", "type": "part", "fstype": None, "mountpoints": [None]}
VOLUME = {"path": "/dev/mapper/vg-lv", "type": "lvm", "fstype": "ext4", "mountpoints": ["/data"]}
UNTOUCHED = ": nothing was touched"
REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "another file system": ([disk(ONE, "xfs")], f"{ONE} holds xfs{UNTOUCHED}"),
    "another of our kind": ([disk(ONE, "ext4", label="data")], f"{ONE} holds ext4 named data{UNTOUCHED}"),
    "swap": ([disk(ONE, "swap", mountpoints=["[SWAP]"])], f"{ONE} holds swap{UNTOUCHED}"),
    "a partition": ([disk(ONE, children=[PARTITION])], f"{ONE} holds nothing with {ONE}p1 (part){UNTOUCHED}"),
    "a volume": (
        [disk(ONE, "LVM2_member", children=[VOLUME])],
        f"{ONE} holds LVM2_member with /dev/mapper/vg-lv (lvm){UNTOUCHED}",
    ),
    "ours, mounted elsewhere": (
        [disk(ONE, "ext4", label="llmops-models", mountpoints=["/mnt"])],
        f"{ONE} is mounted at /mnt, not at {FOLDER}",
    ),
    "ours, mounted twice": (
        [disk(ONE, "ext4", label="llmops-models", mountpoints=["/mnt", FOLDER])],
        f"{ONE} is mounted at /mnt, {FOLDER}, not at {FOLDER}",
    ),
    "one of two": ([disk(ONE), disk(TWO, "xfs")], f"{TWO} holds xfs{UNTOUCHED}"),
    "one of two, ours": (
        [disk(ONE), disk(TWO, "ext4", label="llmops-models")],
        f"{TWO} holds ext4 named llmops-models{UNTOUCHED}",
    ),
    "one of two is a member": (
        [disk(ONE), disk(TWO, "linux_raid_member")],
        f"{TWO} holds linux_raid_member{UNTOUCHED}",
    ),
    "an array of another level": (
        members([array(type="raid1")], [array(type="raid1")]),
        f"{ONE} holds linux_raid_member with /dev/md127 (raid1); "
        f"{TWO} holds linux_raid_member with /dev/md127 (raid1){UNTOUCHED}",
    ),
    "an array of one of them": (
        members([array()], []),
        f"{ONE} holds linux_raid_member with /dev/md127 (raid0); {TWO} holds linux_raid_member{UNTOUCHED}",
    ),
    "two arrays": (
        members([array()], [array(path="/dev/md126")]),
        f"{ONE} holds linux_raid_member with /dev/md127 (raid0); "
        f"{TWO} holds linux_raid_member with /dev/md126 (raid0){UNTOUCHED}",
    ),
    "an array with another file system": (
        members([array("xfs", label=None)], [array("xfs", label=None)]),
        f"/dev/md127 holds xfs{UNTOUCHED}",
    ),
    "an array with a volume on it": (
        members([array("LVM2_member", children=[VOLUME])], [array("LVM2_member", children=[VOLUME])]),
        f"/dev/md127 holds LVM2_member named llmops-models with /dev/mapper/vg-lv (lvm){UNTOUCHED}",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    found, words = REFUSED[name]
    with pytest.raises(DiskError) as error:
        decided(*found)
    assert str(error.value) == words


def test_a_disk_that_lsblk_does_not_list_is_refused() -> None:
    with pytest.raises(DiskError, match=f"^lsblk does not list {TWO}$"):
        plan([ONE, TWO], devices([ONE, TWO], {"blockdevices": [disk(ONE)]}, lambda _: ""), FOLDER)


def test_the_root_disk_is_refused_even_if_its_link_matched() -> None:
    with pytest.raises(DiskError, match="nothing was touched$"):
        decided(ROOT)


def test_only_the_named_disks_are_read() -> None:
    read: list[str] = []

    def probe(path: str) -> str:
        read.append(path)
        return ""

    devices([ONE], {"blockdevices": [ROOT, disk(ONE), disk(TWO)]}, probe)
    assert read == [ONE]


RECORDED = json.loads((Path(__file__).parents[2] / "fixtures/lsblk/loop.json").read_text())
RECORDINGS = {
    "/dev/loop0": Plan("mounted", ("/dev/loop0",)),
    "/dev/loop1": f"/dev/loop1 holds ext4 named data{UNTOUCHED}",
    "/dev/loop2": Plan("make", ("/dev/loop2",)),
    "/dev/loop3": f"/dev/loop3 holds a partition table (dos){UNTOUCHED}",
    "/dev/loop4": f"/dev/loop4 holds swap{UNTOUCHED}",
}


@pytest.mark.parametrize("path", RECORDINGS)
def test_recorded(path: str) -> None:
    expected = RECORDINGS[path]
    known = devices([path], RECORDED["lsblk"], lambda one: str(RECORDED["blkid"][one]))
    try:
        found: Plan | str = plan([path], known, RECORDED["folder"])
    except DiskError as error:
        found = str(error)
    assert found == expected


NODES = {
    "idle": ("NodeName=gpu1 State=IDLE ThreadsPerCore=1\n", Node(False, "")),
    "drained": (
        "NodeName=gpu1 State=IDLE+DRAIN Reason=aws_cluster: stopped [root@2026-11-21T20:00:00]\n",
        Node(True, "aws_cluster: stopped"),
    ),
    "down": (
        "NodeName=gpu1 State=DOWN* Reason=Not responding [slurm@2026-11-21T20:00:00]\n",
        Node(False, "Not responding"),
    ),
}


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_read(name: str) -> None:
    text, expected = NODES[name]
    assert parse_node(text) == expected


def test_what_is_no_node_is_said() -> None:
    with pytest.raises(ValueError, match="^no State in 'slurm_load_node"):
        parse_node("slurm_load_node error")


DRAINS = {
    "not drained": (Node(False, ""), True),
    "for the night": (Node(True, "aws_cluster: stopped"), True),
    "by a person": (Node(True, "bad fan"), False),
    "by us": (Node(True, "local_nvme: the models"), False),
}


@pytest.mark.parametrize("name", DRAINS)
def test_whose_drain_is_kept(name: str) -> None:
    node, expected = DRAINS[name]
    assert needs_drain(node, ["aws_cluster: ", "node_health: "]) is expected


def test_ours_are_known_again() -> None:
    assert is_ours(Node(True, "local_nvme: the models"))
    assert not is_ours(Node(True, "bad fan"))
    assert not is_ours(Node(False, "local_nvme: the models"))
