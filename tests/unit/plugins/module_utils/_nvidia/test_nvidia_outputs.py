# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi and dcgmi print, healthy and broken (tests/unit/fixtures/nvidia-driver says where it is from)."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.dcgm import diag_faults, parse_discovery
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.errors import NvidiaError
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.smi import Gpu, Report, parse_smi, short
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.verify import summary

FIXTURES = Path(__file__).parents[3] / "fixtures" / "nvidia-driver"
A100S = ("07", "0f", "47", "4e", "87", "90", "b7", "bd")


def text(name: str) -> str:
    return (FIXTURES / name).read_text()


@pytest.mark.parametrize(
    ("name", "report"),
    [
        pytest.param("l4.txt", Report("550.90.07", "12.4", (Gpu("0000:01:00.0", "NVIDIA L4", False),)), id="l4"),
        pytest.param(
            "h100-nvl-2.txt",
            Report(
                "550.54.14",
                "12.4",
                (Gpu("0000:ad:00.0", "NVIDIA H100 NVL", False), Gpu("0000:ae:00.0", "NVIDIA H100 NVL", False)),
            ),
            id="h100",
        ),
        pytest.param(
            "a100-sxm-8.txt",
            Report("450.203.03", "11.0", tuple(Gpu(f"0000:{bus}:00.0", "A100-SXM4-40GB", False) for bus in A100S)),
            id="a100-of-an-older-driver",
        ),
        pytest.param(
            "a100-mig.txt",
            Report(
                "510.108.03",
                "11.6",
                (
                    Gpu("0000:05:00.0", "NVIDIA A100 80GB PCIe", True),
                    Gpu("0000:86:00.0", "NVIDIA A100 80GB PCIe", True),
                ),
            ),
            id="a100-in-parts",
        ),
        pytest.param(
            "a100-remap.txt",
            Report(
                "510.73.08",
                "11.6",
                (
                    Gpu(
                        "0000:10:1c.0",
                        "NVIDIA A100-SXM4-80GB",
                        False,
                        ("has memory rows to remap, reset it",),
                    ),
                ),
            ),
            id="a100-with-a-row-to-remap",
        ),
        pytest.param(
            "h100-reset.txt",
            Report(
                "550.54.14",
                "12.4",
                (
                    Gpu("0000:ad:00.0", "NVIDIA H100 NVL", False),
                    Gpu("0000:ae:00.0", "NVIDIA H100 NVL", False, ("is in error: GPU requires reset",)),
                ),
            ),
            id="h100-to-reset",
        ),
        pytest.param(
            "l4-err.txt",
            Report("550.90.07", "12.4", (Gpu("0000:01:00.0", "NVIDIA L4", False, ("is in error: ERR!",)),)),
            id="l4-in-error",
        ),
    ],
)
def test_report(name: str, report: Report) -> None:
    assert parse_smi(text(name)) == report


def test_a_gpu_says_that_it_wants_a_reset() -> None:
    said = text("h100-reset.txt").replace(": GPU requires reset", ": 31 C")
    assert [gpu.faults for gpu in parse_smi(said).gpus] == [(), ("requires a reset",)]


def test_a_row_that_could_not_be_remapped() -> None:
    said = text("l4.txt").replace("Failure Occurred        : No", "Failure Occurred        : Yes")
    assert parse_smi(said).gpus[0].faults == ("could not remap a broken memory row, replace it",)


@pytest.mark.parametrize(
    ("said", "code", "failure"),
    [
        pytest.param(
            text("mismatch.txt"),
            18,
            "driver and library do not match (library 580.95): the new driver is loaded by a reboot",
            id="mismatch",
        ),
        pytest.param(text("not-loaded.txt"), 9, "the driver is not loaded (dmesg says why)", id="not-loaded"),
        pytest.param(
            text("no-devices.txt"),
            6,
            "it found no devices, though the driver is loaded (dmesg says why)",
            id="no-devices",
        ),
        pytest.param(
            text("handle.txt"),
            255,
            "GPU 0000:ba:00.0 does not answer: Unknown Error. Reset or reboot; if it stays, replace it",
            id="fallen-off-the-bus",
        ),
        pytest.param("\n odd words\n", 3, "exit 3, odd words", id="something-else"),
        pytest.param("", 2, "exit 2, no message", id="silent"),
        pytest.param("Driver", 0, "exit 0, Driver", id="cut-off"),
    ],
)
def test_failure(said: str, code: int, failure: str) -> None:
    assert parse_smi(said, code) == Report(failure=failure)


@pytest.mark.parametrize(
    ("address", "kernels"),
    [
        pytest.param("00000000:AD:00.0", "0000:ad:00.0", id="smi"),
        pytest.param("0000:ad:00.0", "0000:ad:00.0", id="kernel"),
        pytest.param("00010000:00:1E.0", "0000:00:1e.0", id="domain-beyond-16-bits"),
        pytest.param("3b", "3b", id="no-address"),
    ],
)
def test_addresses_are_written_as_the_kernel_does(address: str, kernels: str) -> None:
    assert short(address) == kernels


@pytest.mark.parametrize(
    ("name", "line"),
    [
        pytest.param("l4.txt", "1 x NVIDIA L4, driver 550.90.07, CUDA 12.4", id="l4"),
        pytest.param("h100-nvl-2.txt", "2 x NVIDIA H100 NVL, driver 550.54.14, CUDA 12.4", id="h100"),
        pytest.param(
            "a100-mig.txt", "2 x NVIDIA A100 80GB PCIe in parts (MIG), driver 510.108.03, CUDA 11.6", id="in-parts"
        ),
    ],
)
def test_summary(name: str, line: str) -> None:
    assert summary(parse_smi(text(name))) == line


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("discovery-a100-8.txt", 8, id="a100"),
        pytest.param("discovery-l4.txt", 1, id="l4"),
        pytest.param("discovery-none.txt", 0, id="none"),
    ],
)
def test_dcgm_counts(name: str, count: int) -> None:
    assert parse_discovery(text(name)) == count


def test_dcgm_that_does_not_answer() -> None:
    with pytest.raises(NvidiaError) as caught:
        parse_discovery("Error: unable to establish a connection to the specified host: localhost\n")
    assert str(caught.value) == (
        "Reading what dcgmi discovery -l printed failed: no number of GPUs in 'Error: unable to establish a connection "
        "to the specified host: localhost'. Look at the service nvidia-dcgm (journalctl -u nvidia-dcgm)."
    )


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        pytest.param("diag-l40s-4.txt", [], id="passed-dcgm-4"),
        pytest.param("diag-h100-2.txt", [], id="passed-dcgm-3"),
        pytest.param("diag-a100-pcie.txt", ["PCIe: Fail - GPU: 1 (GPU 1 PCIe link width is 8x)"], id="pcie-dcgm-3"),
        pytest.param(
            "diag-fail-4.txt", ["memory: Fail, GPU1: Fail (GPU1: uncorrectable error)"], id="one-gpu-of-two-dcgm-4"
        ),
    ],
)
def test_diag(name: str, faults: list[str]) -> None:
    assert diag_faults(text(name)) == faults


def test_diag_without_results() -> None:
    said = "Error: Cannot run diagnostic: CUDA does not support enumerating GPUs when one or\n"
    with pytest.raises(NvidiaError) as caught:
        diag_faults(said)
    assert str(caught.value) == f"Reading what dcgmi diag printed failed: no results in {said.strip()!r}."
