# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of NVIDIA, read from a folder that stands for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.roles.nvidia.files import look as program

SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def write(root: Path, path: str, content: str | bytes = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def pci(root: Path, address: str, vendor: str, kind: str, number: str) -> None:
    for name, value in (("vendor", vendor), ("class", kind), ("device", number)):
        write(root, f"sys/bus/pci/devices/{address}/{name}", f"{value}\n")


def look(root: Path) -> dict[str, t.Any]:
    return program.look(str(root), str(root / "venv"))


def test_an_empty_host(tmp_path: Path) -> None:
    assert look(tmp_path) == {
        "devices": [],
        "secure_boot": False,
        "kernel": os.uname().release,
        "next_kernel": "",
        "kernels": {},
        "loaded": "",
        "nouveau": False,
        "library": "",
        "torch": "",
    }


def test_only_devices_of_nvidia(tmp_path: Path) -> None:
    pci(tmp_path, "0000:00:02.0", "0x8086", "0x030000", "0x9a49")
    pci(tmp_path, "0000:31:00.0", "0x10de", "0x030200", "0x27b8")
    pci(tmp_path, "0000:31:00.1", "0x10de", "0x040300", "0x22bc")
    assert look(tmp_path)["devices"] == [
        {"address": "0000:31:00.0", "class": "0x030200", "device": "0x27b8"},
        {"address": "0000:31:00.1", "class": "0x040300", "device": "0x22bc"},
    ]


@pytest.mark.parametrize(
    ("content", "on"),
    [
        pytest.param(b"\x06\x00\x00\x00\x01", True, id="on"),
        pytest.param(b"\x06\x00\x00\x00\x00", False, id="off"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_secure_boot(tmp_path: Path, content: bytes, on: bool) -> None:
    write(tmp_path, SECURE_BOOT, content)
    assert look(tmp_path)["secure_boot"] is on


@pytest.mark.parametrize(
    "path",
    [
        "updates/dkms/nvidia-current.ko",
        "updates/dkms/nvidia-current-open.ko.xz",
        "updates/dkms/nvidia.ko.zst",
        "extra/nvidia.ko.xz",
        "weak-updates/nvidia/nvidia.ko",
        "kernel/drivers/video/nvidia.ko",
        "kernel/nvidia-580-open/nvidia.ko.zst",
    ],
)
def test_module_of_a_kernel(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"version": "580.95.05", "license": "Dual MIT/GPL"}
    monkeypatch.setattr(program, "output", lambda *command: said.get(command[2], ""))
    write(tmp_path, "lib/modules/6.1.0-56-amd64/build/Makefile")
    write(tmp_path, f"lib/modules/6.1.0-56-amd64/{Path(path).parent}/nvidia-uvm.ko")
    write(tmp_path, f"lib/modules/6.1.0-56-amd64/{path}")
    assert look(tmp_path)["kernels"] == {
        "6.1.0-56-amd64": {
            "headers": True,
            "module": {"path": str(tmp_path / "lib/modules/6.1.0-56-amd64" / path), **said},
        }
    }


def test_modules_of_others_are_none(tmp_path: Path) -> None:
    for name in ("updates/dkms/nvidia-uvm.ko", "kernel/drivers/video/fbdev/nvidia/nvidiafb.ko", "extra/zfs.ko"):
        write(tmp_path, f"lib/modules/6.1.0/{name}")
    assert look(tmp_path)["kernels"] == {"6.1.0": {"headers": False, "module": {}}}


@pytest.mark.parametrize(
    ("images", "chosen"),
    [
        pytest.param(["6.1.0-9-amd64", "6.1.0-56-amd64"], "6.1.0-56-amd64", id="numbers-are-numbers"),
        pytest.param(["6.12.107+deb13-amd64", "6.12.94+deb13-amd64"], "6.12.107+deb13-amd64", id="debian-13"),
        pytest.param(["5.14.0-611.el9.x86_64", "0-rescue-0f1e"], "5.14.0-611.el9.x86_64", id="rescue-is-none"),
        pytest.param(["6.8.0-1021-aws", "6.8.0-1030-aws"], "6.8.0-1030-aws", id="ubuntu"),
        pytest.param([], "", id="container"),
    ],
)
def test_kernel_of_the_next_boot(tmp_path: Path, images: list[str], chosen: str) -> None:
    for image in images:
        write(tmp_path, f"boot/vmlinuz-{image}")
    assert look(tmp_path)["next_kernel"] == chosen


def test_kernel_that_grubby_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "output", lambda *_command: "/boot/vmlinuz-5.14.0-570.el9.x86_64")
    assert program.next_kernel("/") == "5.14.0-570.el9.x86_64"


@pytest.mark.parametrize(
    ("folder", "target", "version"),
    [
        pytest.param(
            "usr/lib/x86_64-linux-gnu", "nvidia/current/libnvidia-ml.so.535.309.01", "535.309.01", id="debian"
        ),
        pytest.param("usr/lib64", "libnvidia-ml.so.580.95.05", "580.95.05", id="el"),
        pytest.param("usr/lib64", "libnvidia-ml.so", "", id="a-stub"),
    ],
)
def test_library(tmp_path: Path, folder: str, target: str, version: str) -> None:
    write(tmp_path, f"{folder}/{target}")
    (tmp_path / folder / "libnvidia-ml.so.1").symlink_to(tmp_path / folder / target)
    assert look(tmp_path)["library"] == version


def test_what_runs(tmp_path: Path) -> None:
    write(
        tmp_path, "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n"
    )
    (tmp_path / "sys/module/nouveau").mkdir(parents=True)
    write(tmp_path, "venv/lib/python3.11/site-packages/torch/version.py", "cuda: Optional[str] = '13.0'\n")
    found = look(tmp_path)
    assert found["loaded"] == "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05"
    assert found["nouveau"] is True
    assert found["torch"] == "cuda: Optional[str] = '13.0'"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param([sys.executable, "-c", "print('6.1')"], "6.1", id="answers"),
        pytest.param([sys.executable, "-c", "print('6.1'); raise SystemExit(1)"], "", id="fails"),
        pytest.param(["/no/such/program"], "", id="missing"),
    ],
)
def test_programs(command: list[str], said: str) -> None:
    assert program.output(*command) == said


def test_it_runs_from_its_standard_input(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-", str(tmp_path), "/nowhere"],
        input=Path(program.__file__).read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["devices"] == []
