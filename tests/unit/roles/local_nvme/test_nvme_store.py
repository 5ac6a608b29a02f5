# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot and a run of the playbook, with fakes for disks and slurmctld."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.decide import (
    LOST,
    Device,
    DiskError,
    Node,
)
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.slurm import SlurmError
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.store import Store

FOLDER = "/opt/models"
EMPTY, OURS = ("", ""), ("ext4", "llmops-models")


class FakeDisks:
    """Disks by path with what they hold; an array comes of more than one."""

    folder = FOLDER

    def __init__(self, *holds: tuple[str, str], mounted: bool = False) -> None:
        self.holds = {f"/dev/nvme{number}n1": one for number, one in enumerate(holds, 1)}
        self.array: tuple[str, str] | None = None
        self.mounted = mounted
        self.did: list[str] = []
        self.assembles = True

    def paths(self) -> list[str]:
        return list(self.holds)

    def known(self) -> Mapping[str, Device]:
        mounts = (FOLDER,) if self.mounted else ()
        below = (Device("/dev/md127", "raid0", *self.array, mounts, ()),) if self.array is not None else ()
        return {
            path: Device(path, "disk", *one, () if len(self.holds) > 1 else mounts, below)
            for path, one in self.holds.items()
        }

    def make(self, paths: tuple[str, ...]) -> str:
        self.did.append(f"make {len(paths)}")
        if len(paths) > 1:
            self.holds, self.array = dict.fromkeys(self.holds, ("linux_raid_member", "")), EMPTY
            return "/dev/md127"
        return paths[0]

    def assemble(self, paths: tuple[str, ...]) -> None:
        self.did.append(f"assemble {len(paths)}")
        self.array = OURS if self.assembles else None

    def format(self, device: str) -> None:
        self.did.append(f"format {device}")
        if device == "/dev/md127":
            self.array = OURS
        else:
            self.holds[device] = OURS

    def mount(self, device: str) -> None:
        self.did.append(f"mount {device}")
        self.mounted = True


class FakeSlurm:
    def __init__(self, node: Node | None = None, here: bool = True) -> None:
        self.this, self.is_here = node, here
        # Questions that nobody answers.
        self.silent = 0

    def node(self) -> Node | None:
        if self.silent:
            self.silent -= 1
            raise SlurmError("scontrol show node failed: Unable to contact slurm controller")
        return self.this

    def drain(self, reason: str) -> None:
        self.this = Node(True, reason)

    def resume(self) -> None:
        self.this = Node(False, "")


class Bench:
    def __init__(self, folder: Path, disks: FakeDisks, slurm: FakeSlurm, stamped: bool = False) -> None:
        self.disks, self.slurm, self.stamp = disks, slurm, folder / "var/models"
        self.now = 0.0
        if stamped:
            self.stamp.parent.mkdir()
            self.stamp.touch()
        self.store = Store(disks, slurm, self.stamp, ["aws_cluster: "], 60, self.sleep, lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_new_instance_gets_its_folder_and_nobody_is_drained(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(EMPTY), FakeSlurm(Node(False, "")))
    assert bench.store.up() == "make"
    assert bench.disks.did == ["make 1", "format /dev/nvme1n1", "mount /dev/nvme1n1"]
    assert bench.slurm.this == Node(False, "")
    assert bench.store.up() == "mounted"
    assert len(bench.disks.did) == 3


def test_several_disks_are_one_array(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(EMPTY, EMPTY, EMPTY, EMPTY), FakeSlurm())
    assert bench.store.up() == "make"
    assert bench.disks.did == ["make 4", "format /dev/md127", "mount /dev/md127"]
    assert bench.store.up() == "mounted"


def test_a_reboot_mounts_what_is_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(OURS), FakeSlurm(Node(False, "")), stamped=True)
    assert bench.store.up() == "mount"
    assert bench.disks.did == ["mount /dev/nvme1n1"]
    assert bench.slurm.this == Node(False, "")


def test_a_reboot_assembles_an_array(tmp_path: Path) -> None:
    member = ("linux_raid_member", "")
    bench = Bench(tmp_path, FakeDisks(member, member), FakeSlurm())
    assert bench.store.up() == "mount"
    assert bench.disks.did == ["assemble 2", "mount /dev/md127"]


def test_an_array_that_does_not_come_is_said(tmp_path: Path) -> None:
    member = ("linux_raid_member", "")
    disks = FakeDisks(member, member)
    disks.assembles = False
    bench = Bench(tmp_path, disks, FakeSlurm(Node(False, "")), stamped=True)
    with pytest.raises(DiskError, match="^no array came of /dev/nvme1n1, /dev/nvme2n1$"):
        bench.store.up()
    assert bench.slurm.this == Node(True, "local_nvme: no array came of /dev/nvme1n1, /dev/nvme2n1")


def test_after_a_stop_the_disk_is_made_anew_and_jobs_are_kept_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(EMPTY), FakeSlurm(Node(False, "")), stamped=True)
    assert bench.store.up() == "make"
    assert bench.slurm.this == Node(True, LOST)
    assert bench.store.ready() == ["resumed"]
    assert bench.slurm.this == Node(False, "")
    assert bench.store.ready() == []


def test_a_size_without_local_disks_is_a_loss_too_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(), FakeSlurm(Node(False, "")), stamped=True)
    assert bench.store.up() == "none"
    assert bench.slurm.this == Node(True, LOST)
    assert bench.store.ready() == ["stamp", "resumed"]
    assert bench.store.up() == "none"
    assert bench.slurm.this == Node(False, "")


def test_a_controller_that_boots_too_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(EMPTY), FakeSlurm(Node(False, "")), stamped=True)
    bench.slurm.silent = 3
    bench.store.up()
    assert bench.now == 15
    assert bench.slurm.this == Node(True, LOST)


def test_but_not_for_ever(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(EMPTY), FakeSlurm(), stamped=True)
    bench.slurm.silent = 1000
    with pytest.raises(SlurmError, match="Unable to contact"):
        bench.store.up()
    assert bench.now == 60
    assert bench.disks.mounted


NODES = {
    "for the night": (Node(True, "aws_cluster: stopped"), Node(True, LOST)),
    "by a person": (Node(True, "bad fan"), Node(True, "bad fan")),
    "not known to Slurm": (None, None),
}


@pytest.mark.parametrize("name", NODES)
def test_what_becomes_of_other_drains(name: str, tmp_path: Path) -> None:
    before, after = NODES[name]
    bench = Bench(tmp_path, FakeDisks(EMPTY), FakeSlurm(before), stamped=True)
    bench.store.up()
    assert bench.slurm.this == after


def test_without_slurm_nobody_is_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(EMPTY), FakeSlurm(here=False), stamped=True)
    bench.slurm.silent = 1000
    assert bench.store.up() == "make"
    assert bench.store.ready() == []


def test_the_first_models_are_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(OURS, mounted=True), FakeSlurm(Node(True, "bad fan")))
    assert bench.store.ready() == ["stamp"]
    assert bench.stamp.exists()
    assert bench.slurm.this == Node(True, "bad fan")


def test_a_disk_that_is_not_ours_stays_as_it_is_and_jobs_are_kept_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeDisks(("xfs", "data")), FakeSlurm(Node(False, "")), stamped=True)
    words = "/dev/nvme1n1 holds xfs named data: nothing was touched"
    with pytest.raises(DiskError, match=f"^{words}$"):
        bench.store.up()
    assert bench.disks.did == []
    assert bench.slurm.this == Node(True, f"local_nvme: {words}")
