# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role nvidia, given what its programs and NVIDIA's print."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.filter.nvidia import FilterModule

FILTERS = FilterModule().filters()
FIXTURES = Path(__file__).parents[2] / "fixtures" / "nvidia-driver"
LOOK = {
    "devices": [{"address": "0000:01:00.0", "device": "0x27b8", "class": "0x030200"}],
    "secure_boot": False,
    "kernel": "6.1.0-56-amd64",
    "next_kernel": "6.1.0-56-amd64",
    "kernels": {},
    "loaded": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.90.07  Release Build",
    "nouveau": False,
    "library": "550.90.07",
    "torch": "",
}
QUERY = json.dumps({"cuda": 12040, "devices": [{"name": "NVIDIA L4", "capability": "8.9"}], "error": ""})


def text(name: str) -> str:
    return (FIXTURES / name).read_text()


def test_a_host_that_is_ready() -> None:
    assert FILTERS["nvidia_driver_faults"](LOOK, text("l4.txt"), 0, QUERY) == []
    assert FILTERS["nvidia_summary"](text("l4.txt")) == "1 x NVIDIA L4, driver 550.90.07, CUDA 12.4"


def test_a_host_without_nvidia_smi() -> None:
    said = "[Errno 2] No such file or directory: b'nvidia-smi'"
    assert FILTERS["nvidia_driver_faults"](LOOK, said, 2, QUERY) == [f"nvidia-smi failed: exit 2, {said}"]


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        pytest.param("discovery-l4.txt", [], id="all"),
        pytest.param(
            "discovery-none.txt",
            ["the PCI bus has 1 GPUs, DCGM 0: restart nvidia-dcgm, then look at dmesg"],
            id="one-is-missing",
        ),
    ],
)
def test_dcgm_beside_the_bus(name: str, faults: list[str]) -> None:
    assert FILTERS["nvidia_dcgm_faults"](text(name), LOOK) == faults


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        pytest.param("nvidia_branch_faults", (LOOK, 550, False), [], id="branch"),
        pytest.param("nvidia_dcgm_diag_faults", (text("diag-h100-2.txt"),), [], id="diag"),
        pytest.param("nvidia_reboot_reasons", (LOOK, "open"), [], id="reboot"),
    ],
)
def test_others_are_the_functions(name: str, arguments: tuple[t.Any, ...], answer: list[str]) -> None:
    assert FILTERS[name](*arguments) == answer
