# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has and what it lacks: before anything is installed, after it, and before jobs."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia import host, smi, verify

FIXTURES = Path(__file__).parents[3] / "fixtures" / "nvidia-driver"
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs-builder@U22-I3-B17-02-5)\n"
    "GCC version:"
)
CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc version 12.2.0"
)
GOOD: dict[str, t.Any] = {"cuda": 12040, "devices": [{"name": "NVIDIA L4", "capability": "8.9"}], "error": ""}
WANTED = {"modules": "open", "branch": 580, "source": "nvidia", "secure_boot": "refuse", "steps": "all"}
NO_GPU = (
    "there is no NVIDIA GPU on its PCI bus (vendor 10de, class 03). Is this the right host, and is the device passed "
    "to it? A "
    "host that shall have none, such as a lab's, needs nvidia_expected: false; an image for hosts that will have one, "
    "nvidia_steps: install"
)
SECURE_BOOT = (
    "Secure Boot is on: the kernel loads no module that it cannot verify, and nothing here enrols a key for those that "
    "DKMS "
    "builds. Switch it off in the firmware (AWS: an AMI without UEFI Secure Boot), or enrol DKMS's key (mokutil "
    "--import "
    "/var/lib/dkms/mok.pub, then a reboot with a console) and set nvidia_secure_boot: signed"
)


def text(name: str) -> str:
    return (FIXTURES / name).read_text()


def device(address: str = "0000:01:00.0", number: str = "0x27b8", kind: str = "0x030200") -> dict[str, str]:
    return {"address": address, "device": number, "class": kind}


def built(version: str = "550.90.07", words: str = "Dual MIT/GPL") -> dict[str, str]:
    return {"path": "/lib/modules/k/updates/dkms/nvidia.ko", "version": version, "license": words}


def look(**more: t.Any) -> dict[str, t.Any]:
    """An L4 whose driver runs."""
    return {
        "devices": [device()],
        "secure_boot": False,
        "kernel": "6.12.94+deb13-amd64",
        "next_kernel": "6.12.94+deb13-amd64",
        "kernels": {"6.12.94+deb13-amd64": {"headers": True, "module": built()}},
        "loaded": OPEN.format("550.90.07"),
        "nouveau": False,
        "library": "550.90.07",
        "torch": "",
        **more,
    }


@pytest.mark.parametrize(
    ("found", "wanted", "problems"),
    [
        pytest.param(look(), {}, [], id="l4"),
        pytest.param(look(devices=[]), {}, [NO_GPU], id="no-gpu"),
        pytest.param(look(devices=[]), {"steps": "install"}, [], id="no-gpu-in-an-image"),
        pytest.param(
            look(devices=[device(kind="0x040300"), device(kind="0x068000")]),
            {},
            [NO_GPU],
            id="audio-and-nvswitch-are-no-gpu",
        ),
        pytest.param(look(devices=[device(kind="0x030000")]), {}, [], id="vga"),
        pytest.param(look(secure_boot=True), {}, [SECURE_BOOT], id="secure-boot"),
        pytest.param(look(secure_boot=True), {"secure_boot": "signed"}, [], id="secure-boot-with-signed-modules"),
        pytest.param(look(secure_boot=True), {"source": "preinstalled"}, [], id="secure-boot-of-an-image-with-driver"),
        pytest.param(
            look(devices=[device(number="0x1db1")]),
            {},
            [
                "GPU 0000:01:00.0 (device 0x1db1) is older than Turing, which the open kernel modules do not drive. "
                "Set "
                "nvidia_kernel_modules: proprietary; branch 580 is the last one for it"
            ],
            id="volta-with-open-modules",
        ),
    ],
)
def test_problems_before(found: dict[str, t.Any], wanted: dict[str, t.Any], problems: list[str]) -> None:
    assert host.problems(found, {**WANTED, **wanted}) == problems


NEW = "6.12.117+deb13-amd64"
BOTH = {"6.12.94+deb13-amd64": {"headers": False, "module": {}}, NEW: {"headers": True, "module": built()}}


@pytest.mark.parametrize(
    ("found", "modules", "steps", "faults"),
    [
        pytest.param(look(), "open", "all", [], id="built"),
        pytest.param(look(kernels=BOTH, next_kernel=NEW), "open", "all", [], id="built-for-the-next-kernel"),
        # Recorded: Debian 13 with 550.163.01 from its archive, November 2026.
        pytest.param(
            look(
                kernel="6.18.44",
                next_kernel=NEW,
                kernels={NEW: {"headers": True, "module": {}}},
                library="550.163.01",
                loaded="",
            ),
            "open",
            "install",
            [
                f"no module was built for kernel {NEW}: see dkms status and /var/lib/dkms/nvidia*/*/build/make.log on "
                "it. A "
                "driver that is older than its kernel often does not compile"
            ],
            id="does-not-compile",
        ),
        # Recorded: Debian 12 with 535.309.01 from its archive, in a container without a kernel.
        pytest.param(
            look(
                kernel="6.18.44",
                next_kernel="",
                kernels={"6.1.0-56-amd64": {"headers": True, "module": built("535.309.01", "NVIDIA")}},
                library="535.309.01",
                loaded="",
            ),
            "proprietary",
            "install",
            [],
            id="image-without-a-kernel",
        ),
        pytest.param(
            look(kernels={}, next_kernel=""),
            "open",
            "install",
            ["there is no kernel with headers that a module could be built for"],
            id="no-headers-at-all",
        ),
        pytest.param(
            look(kernels={}),
            "open",
            "all",
            ["kernel 6.12.94+deb13-amd64 has neither headers nor a module. Boot a kernel that the packages have"],
            id="no-headers",
        ),
        pytest.param(
            look(library=""),
            "open",
            "all",
            ["libnvidia-ml.so.1 is not there: the packages brought no driver"],
            id="no-library",
        ),
        pytest.param(
            look(library="550.163.01"),
            "open",
            "all",
            ["the module for kernel 6.12.94+deb13-amd64 is 550.90.07, the library 550.163.01"],
            id="module-of-another-version",
        ),
        pytest.param(
            look(),
            "proprietary",
            "all",
            ["the module for kernel 6.12.94+deb13-amd64 is open, nvidia_kernel_modules proprietary"],
            id="module-of-the-other-kind",
        ),
    ],
)
def test_what_was_built(found: dict[str, t.Any], modules: str, steps: str, faults: list[str]) -> None:
    assert host.build_faults(found, modules, steps) == faults


OLD = (
    "its driver is 550.90.07, older than branch 580, which serves CUDA 13. Take nvidia_source: nvidia, or set "
    "nvidia_allow_insecure: true and an engine for an older CUDA"
)


@pytest.mark.parametrize(
    ("library", "allow", "branch", "faults"),
    [
        pytest.param("580.95.05", False, 580, [], id="the-one"),
        pytest.param("595.71.05", False, 0, [], id="newer-and-preinstalled"),
        pytest.param("550.90.07", False, 580, [OLD], id="too-old"),
        pytest.param("550.90.07", True, 550, [], id="old-as-asked"),
        pytest.param(
            "595.71.05",
            False,
            580,
            [
                "its driver is 595.71.05, nvidia_branch 580: the source has another branch, or it was there before "
                "(the role upgrades nothing)"
            ],
            id="another-branch",
        ),
        pytest.param("", False, 580, [], id="none"),
    ],
)
def test_branch(library: str, allow: bool, branch: int, faults: list[str]) -> None:
    assert host.branch_faults(look(library=library), 580, allow, branch) == faults


@pytest.mark.parametrize(
    ("found", "modules", "reasons"),
    [
        pytest.param(look(), "open", [], id="it-runs"),
        pytest.param(look(loaded=""), "open", [], id="it-can-be-loaded"),
        pytest.param(look(loaded="", nouveau=True), "open", ["nouveau holds the GPU"], id="nouveau"),
        pytest.param(
            look(library="580.95.05"), "open", ["driver 550.90.07 is loaded, 580.95.05 is installed"], id="new-version"
        ),
        pytest.param(
            look(loaded=CLOSED.format("550.90.07")),
            "open",
            ["the proprietary module is loaded, the open one is installed"],
            id="other-kind",
        ),
        pytest.param(
            look(loaded="", kernels=BOTH, next_kernel=NEW),
            "open",
            [f"kernel 6.12.94+deb13-amd64 runs, the module is for {NEW}"],
            id="new-kernel",
        ),
    ],
)
def test_reboot(found: dict[str, t.Any], modules: str, reasons: list[str]) -> None:
    assert host.reboot_reasons(found, modules) == reasons


@pytest.mark.parametrize(
    ("loaded", "version", "flavour"),
    [
        pytest.param(OPEN.format("580.95.05"), "580.95.05", "open", id="open"),
        pytest.param(CLOSED.format("535.183.01"), "535.183.01", "proprietary", id="proprietary"),
        pytest.param("", "", "", id="none"),
    ],
)
def test_what_is_loaded(loaded: str, version: str, flavour: str) -> None:
    found = look(loaded=loaded)
    assert (host.loaded_version(found), host.loaded_flavour(found)) == (version, flavour)


@pytest.mark.parametrize(("words", "flavour"), [("Dual MIT/GPL", "open"), ("NVIDIA", "proprietary"), ("", "")])
def test_kind_of_a_module(words: str, flavour: str) -> None:
    assert host.module_flavour(built(words=words)) == flavour


H100S = [device("0000:ad:00.0", "0x2321"), device("0000:ae:00.0", "0x2321")]
TWO = {**GOOD, "devices": [{"name": "NVIDIA H100 NVL", "capability": "9.0"}] * 2}
H100 = {"devices": H100S, "loaded": OPEN.format("550.54.14"), "library": "550.54.14"}
MIG = {
    "devices": [device("0000:05:00.0", "0x20b5"), device("0000:86:00.0", "0x20b5")],
    "loaded": CLOSED.format("510.108.03"),
    "library": "510.108.03",
}


@pytest.mark.parametrize(
    ("found", "name", "code", "query", "faults"),
    [
        pytest.param(look(), "l4.txt", 0, GOOD, [], id="l4"),
        pytest.param(look(**H100), "h100-nvl-2.txt", 0, TWO, [], id="h100"),
        pytest.param(
            look(
                devices=[
                    device(f"0000:{bus}:00.0", "0x20b0") for bus in ("07", "0f", "47", "4e", "87", "90", "b7", "bd")
                ],
                loaded=CLOSED.format("450.203.03"),
                library="450.203.03",
            ),
            "a100-sxm-8.txt",
            0,
            {**GOOD, "devices": GOOD["devices"] * 8},
            [],
            id="a100",
        ),
        pytest.param(
            look(**MIG), "a100-mig.txt", 0, {**GOOD, "devices": []}, [], id="a100-in-parts-counts-no-cuda-devices"
        ),
        pytest.param(
            look(loaded=""),
            "not-loaded.txt",
            9,
            GOOD,
            [
                "the driver is not loaded: /proc/driver/nvidia/version is not there (dmesg says why)",
                "nvidia-smi failed: the driver is not loaded (dmesg says why)",
            ],
            id="not-loaded",
        ),
        pytest.param(
            look(library="580.95.05"),
            "mismatch.txt",
            18,
            GOOD,
            [
                "driver 550.90.07 is loaded, its library is 580.95.05: reboot",
                "nvidia-smi failed: driver and library do not match (library 580.95): the new driver is loaded by a "
                "reboot",
            ],
            id="mismatch",
        ),
        pytest.param(
            look(library="", loaded=OPEN.format("580.95.05")),
            "l4.txt",
            0,
            GOOD,
            ["driver 580.95.05 is loaded, nvidia-smi is 550.90.07: reboot"],
            id="library-in-a-place-of-its-own",
        ),
        pytest.param(
            look(),
            "no-devices.txt",
            6,
            GOOD,
            ["nvidia-smi failed: it found no devices, though the driver is loaded (dmesg says why)"],
            id="no-devices",
        ),
        pytest.param(
            look(),
            "handle.txt",
            255,
            GOOD,
            [
                "nvidia-smi failed: GPU 0000:ba:00.0 does not answer: Unknown Error. Reset or reboot; if it stays, "
                "replace it"
            ],
            id="fallen-off-the-bus",
        ),
        pytest.param(
            look(**{**H100, "devices": [*H100S, device("0000:3b:00.0", "0x2321")]}),
            "h100-nvl-2.txt",
            0,
            TWO,
            ["the PCI bus has 3 GPUs, nvidia-smi 2: missing are 0000:3b:00.0 (dmesg says why)"],
            id="fewer-than-the-bus",
        ),
        pytest.param(
            look(**H100),
            "h100-reset.txt",
            0,
            {**GOOD, "devices": GOOD["devices"]},
            [
                "GPU 0000:ae:00.0 (NVIDIA H100 NVL) is in error: GPU requires reset",
                "nvidia-smi has 2 GPUs, a CUDA program sees 1",
            ],
            id="to-reset",
        ),
        pytest.param(
            look(), "l4-err.txt", 0, GOOD, ["GPU 0000:01:00.0 (NVIDIA L4) is in error: ERR!"], id="cannot-be-read"
        ),
        pytest.param(
            look(),
            "l4.txt",
            0,
            {"cuda": 0, "devices": [], "error": "cuInit: error 999, unknown error"},
            ["libcuda does not answer: cuInit: error 999, unknown error"],
            id="no-uvm",
        ),
        pytest.param(
            look(torch="__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n"),
            "l4.txt",
            0,
            GOOD,
            ["torch wants CUDA 13.0, which needs driver 580 or newer; it is 550.90.07"],
            id="torch-wants-more",
        ),
        pytest.param(look(torch="cuda: Optional[str] = '12.8'\n"), "l4.txt", 0, GOOD, [], id="torch-is-served"),
    ],
)
def test_no_job_starts_on(
    found: dict[str, t.Any], name: str, code: int, query: dict[str, t.Any], faults: list[str]
) -> None:
    assert verify.driver_faults(found, smi.parse_smi(text(name), code), query) == faults
