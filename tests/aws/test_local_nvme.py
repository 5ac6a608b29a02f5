"""The program of the role local_nvme on real block devices: loop devices stand for the disks of an instance.

Needs root and a kernel with loop devices. Arrays of several disks are run where the kernel has md.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.settings import CHECKOUT

PROGRAM = """import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from local_nvme import main
main.SETTINGS = Path(sys.argv[2])
sys.exit(main.main(sys.argv[3:]))"""
SCONTROL = """#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
  *show*) echo "NodeName=gpu1 State=$(cat state) Reason=$(cat reason) [root@2026-11-21T20:00:00]" ;;
  *state=drain*) echo IDLE+DRAIN > state; echo "$*" | sed 's/.*reason=//' > reason ;;
  *state=resume*) echo IDLE > state; : > reason ;;
esac
"""
MIB = 1 << 20


@dataclass
class Machine:
    """Loop devices with the links of local disks, a folder for models, and a Slurm of a few lines."""

    folder: Path
    loops: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.models = self.folder / "models"
        (self.folder / "by-id").mkdir()
        slurm = self.folder / "slurm"
        slurm.mkdir()
        (slurm / "scontrol").write_text(SCONTROL)
        (slurm / "scontrol").chmod(0o755)
        (slurm / "state").write_text("IDLE\n")
        (slurm / "reason").write_text("")
        settings = {
            "disks": str(self.folder / "by-id/local_*"),
            "folder": str(self.models),
            "node": "gpu1",
            "slurm_bin": str(slurm),
            "slurm_conf": str(slurm / "scontrol"),
            "stamp": str(self.folder / "state/models"),
            "passing": [],
            "patience": 5,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))

    def disk(self) -> str:
        image = self.folder / f"disk{len(self.loops)}"
        with image.open("wb") as made:
            made.truncate(64 * MIB)
        loop = run("losetup", "--find", "--show", str(image)).strip()
        self.loops.append(loop)
        (self.folder / f"by-id/local_{len(self.loops)}").symlink_to(loop)
        return loop

    def stop_and_start(self) -> None:
        """What EC2 does to the disks of an instance that is stopped."""
        subprocess.run(["umount", str(self.models)], check=False, capture_output=True)
        for number, loop in enumerate(self.loops):
            run("losetup", "--detach", loop)
            image = self.folder / f"disk{number}"
            image.unlink()
            with image.open("wb") as made:
                made.truncate(64 * MIB)
            run("losetup", loop, str(image))

    def call(self, command: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-IB", "-c", PROGRAM, str(CHECKOUT / "roles/local_nvme/files")]
        return subprocess.run(
            [*argv, str(self.folder / "settings.json"), command], capture_output=True, text=True, check=False
        )

    def does(self, command: str) -> object:
        done = self.call(command)
        assert done.returncode == 0, done.stderr
        return next(iter(json.loads(done.stdout).values()))

    @property
    def node(self) -> tuple[str, str]:
        return tuple((self.folder / "slurm" / name).read_text().strip() for name in ("state", "reason"))  # type: ignore[return-value]

    def end(self) -> None:
        subprocess.run(["umount", str(self.models)], check=False, capture_output=True)
        for loop in self.loops:
            subprocess.run(["losetup", "--detach", loop], check=False, capture_output=True)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def content(path: str) -> str:
    with open(path, "rb") as device:
        return hashlib.file_digest(device, "sha256").hexdigest()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid() or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices")
    made = Machine(tmp_path)
    yield made
    made.end()


def test_a_disk_through_its_life(machine: Machine) -> None:
    machine.disk()
    assert machine.does("look") == "make"
    assert machine.does("up") == "make"
    assert os.path.ismount(machine.models)
    assert list(machine.models.iterdir()) == []
    assert machine.does("up") == "mounted"
    (machine.models / "models--org--name").mkdir()
    assert machine.does("ready") == ["stamp"]
    assert machine.does("ready") == []

    run("umount", str(machine.models))
    assert machine.does("up") == "mount"
    assert [path.name for path in machine.models.iterdir()] == ["models--org--name"]
    assert machine.node == ("IDLE", "")

    machine.stop_and_start()
    assert machine.does("up") == "make"
    assert list(machine.models.iterdir()) == []
    assert machine.node == (
        "IDLE+DRAIN",
        "local_nvme: the models of this node are gone, site.yml fetches them again",
    )
    assert machine.does("ready") == ["resumed"]
    assert machine.node == ("IDLE", "")


def test_without_disks_nothing_is_done(machine: Machine) -> None:
    assert machine.does("up") == "none"
    assert not machine.models.exists()


HELD = {
    "a file system": ["mkfs.ext2", "-q"],
    "one of our kind with another name": ["mkfs.ext4", "-q", "-L", "data"],
    "swap": ["mkswap"],
    "a partition table that the kernel has not read": [],
}
# One partition of 32 MiB.
MBR = bytes(446) + bytes.fromhex("00000000830000000008000000000100") + bytes(48) + b"\x55\xaa"


@pytest.mark.parametrize("name", HELD)
def test_a_disk_that_holds_something_is_not_touched(machine: Machine, name: str) -> None:
    disk = machine.disk()
    if HELD[name]:
        run(*HELD[name], disk)
    else:
        with open(disk, "r+b") as device:
            device.write(MBR)
    before = content(disk)

    done = machine.call("up")

    assert done.returncode == 1
    assert "nothing was touched" in done.stderr, done.stderr
    assert content(disk) == before
    assert not os.path.ismount(machine.models)


def test_a_folder_that_holds_something_is_not_hidden(machine: Machine) -> None:
    machine.disk()
    (machine.models / "models--org--name").mkdir(parents=True)

    done = machine.call("up")

    assert done.returncode == 1
    assert f"{machine.models} holds something, and a disk mounted there would hide it" in done.stderr
    assert not os.path.ismount(machine.models)


def test_two_disks_are_one_array(machine: Machine) -> None:
    if not Path("/proc/mdstat").exists():
        pytest.skip("this kernel has no md")
    machine.disk()
    machine.disk()
    assert machine.does("up") == "make"
    try:
        assert machine.does("up") == "mounted"
        run("umount", str(machine.models))
        run("mdadm", "--stop", "/dev/md/llmops-models")
        assert machine.does("up") == "mount"
    finally:
        subprocess.run(["umount", str(machine.models)], check=False)
        subprocess.run(["mdadm", "--stop", "/dev/md/llmops-models"], check=False)
