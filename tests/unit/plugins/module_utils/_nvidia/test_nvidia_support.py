# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which driver serves which CUDA and which GPU."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.support import (
    branch_of,
    cuda_faults,
    cuda_of_torch,
    flavour_faults,
)

L4, A100, H100, T4 = "0x27b8", "0x20b5", "0x2330", "0x1eb8"
V100, P100, B200 = "0x1db1", "0x15f8", "0x2901"
OLD = (
    "is older than Turing, which the open kernel modules do not drive. Set nvidia_kernel_modules: proprietary; branch "
    "580 is the last one for it"
)


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        pytest.param("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n", "13.0", id="cuda"),
        pytest.param("cuda = '12.8'\nhip = None\n", "12.8", id="without-a-type"),
        pytest.param("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n", "", id="cpu"),
        pytest.param("", "", id="no-torch"),
    ],
)
def test_cuda_of_torch(text: str, cuda: str) -> None:
    assert cuda_of_torch(text) == cuda


@pytest.mark.parametrize(
    ("wanted", "driver", "served", "faults"),
    [
        pytest.param("13.0", "580.95.05", 13000, [], id="13-on-580"),
        pytest.param("13.2", "580.95.05", 13000, [], id="minor-versions-are-compatible"),
        pytest.param(
            "13.0",
            "570.148.08",
            12080,
            ["torch wants CUDA 13.0, which needs driver 580 or newer; it is 570.148.08"],
            id="13-on-570",
        ),
        pytest.param("12.8", "535.309.01", 12020, [], id="12-on-535"),
        pytest.param(
            "12.8",
            "470.256.02",
            11040,
            ["torch wants CUDA 12.8, which needs driver 525 or newer; it is 470.256.02"],
            id="12-on-470",
        ),
        pytest.param(
            "12.8", "", 0, ["torch wants CUDA 12.8, which needs driver 525 or newer; it is not there"], id="none"
        ),
        pytest.param("12.8", "595.71.05", 13020, [], id="older-cuda-on-a-newer-driver"),
        pytest.param("14.0", "610.57.04", 14000, [], id="cuda-after-the-table"),
        pytest.param(
            "14.0", "580.95.05", 13000, ["torch wants CUDA 14.0, the driver 580.95.05 serves 13.0"], id="cuda-too-new"
        ),
        pytest.param("", "535.309.01", 12020, [], id="torch-for-the-cpu"),
    ],
)
def test_driver_serves_cuda(wanted: str, driver: str, served: int, faults: list[str]) -> None:
    assert cuda_faults(wanted, driver, served) == faults


@pytest.mark.parametrize(
    ("device", "modules", "branch", "faults"),
    [
        *(pytest.param(one, "open", 580, [], id=f"open-{one}") for one in (T4, A100, H100, L4, B200)),
        *(
            pytest.param(one, "proprietary", 580, [], id=f"proprietary-{one}")
            for one in (P100, V100, T4, A100, H100, L4)
        ),
        pytest.param(V100, "open", 580, [f"GPU 0000:01:00.0 (device {V100}) {OLD}"], id="volta-open"),
        pytest.param(P100, "open", 580, [f"GPU 0000:01:00.0 (device {P100}) {OLD}"], id="pascal-open"),
        pytest.param(
            B200,
            "proprietary",
            580,
            [
                f"GPU 0000:01:00.0 (device {B200}) is Blackwell or newer, which the open kernel modules alone drive. "
                "Set nvidia_kernel_modules: open"
            ],
            id="blackwell-proprietary",
        ),
        pytest.param(
            L4,
            "proprietary",
            620,
            ["branch 620 has no proprietary kernel modules. Set nvidia_kernel_modules: open"],
            id="no-proprietary-any-more",
        ),
    ],
)
def test_modules_drive_the_gpu(device: str, modules: str, branch: int, faults: list[str]) -> None:
    assert flavour_faults([{"address": "0000:01:00.0", "device": device}], modules, branch) == faults


@pytest.mark.parametrize(("version", "branch"), [("580.95.05", 580), ("", 0), ("none", 0)])
def test_branch(version: str, branch: int) -> None:
    assert branch_of(version) == branch
