# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which driver serves which CUDA and which GPU. Pure. Private to this collection."""

from __future__ import annotations

import re
import typing as t

# Major version of CUDA -> the first branch of the driver that serves all of its minor versions:
# docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html, table 1 (2026).
BRANCHES: t.Final = {11: 450, 12: 525, 13: 580}
# The device that a GPU calls itself grows with the generation: Turing begins at 1e02, GB100 of Blackwell at 2901
# (pci.ids; docs.nvidia.com, README of the driver, "Supported NVIDIA GPU Products").
_TURING: t.Final = 0x1E02
_BLACKWELL: t.Final = 0x2900
# Branches from this one on have no proprietary modules (driver-installation-guide 620, "Recent Updates").
_NO_PROPRIETARY: t.Final = 620


def branch_of(version: str) -> int:
    """The branch of a version: 580 of 580.95.05; 0 when there is none."""
    found = re.match(r"(\d+)\.", version)
    return int(found[1]) if found else 0


def cuda_of_torch(text: str) -> str:
    """The CUDA that torch was built for, from its version.py; empty for none (a build for the CPU, or no torch)."""
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+\.\d+)['\"]", text, re.MULTILINE)
    return found[1] if found else ""


def cuda_faults(wanted: str, driver: str, served: int = 0) -> list[str]:
    """Why this driver does not serve that CUDA; `served` is what it says itself (13000 is 13.0), 0 if nobody asked."""
    if not wanted:
        return []
    major = int(wanted.split(".")[0])
    branch = BRANCHES.get(major)
    if branch is None:
        if served and major > served // 1000:
            return [f"torch wants CUDA {wanted}, the driver {driver} serves {served // 1000}.{served % 1000 // 10}"]
        return []
    if branch_of(driver) < branch:
        return [f"torch wants CUDA {wanted}, which needs driver {branch} or newer; it is {driver or 'not there'}"]
    return []


def flavour_faults(devices: t.Iterable[t.Mapping[str, str]], modules: str, branch: int) -> list[str]:
    """GPUs that kernel modules of this kind do not drive."""
    faults = []
    for device in devices:
        number = int(device["device"], 16)
        named = f"GPU {device['address']} (device {device['device']})"
        if modules == "open" and number < _TURING:
            faults.append(
                f"{named} is older than Turing, which the open kernel modules do not drive. Set nvidia_kernel_modules: "
                "proprietary; branch 580 is the last one for it"
            )
        elif modules == "proprietary" and number >= _BLACKWELL:
            faults.append(
                f"{named} is Blackwell or newer, which the open kernel modules alone drive. Set "
                "nvidia_kernel_modules: open"
            )
    if modules == "proprietary" and branch >= _NO_PROPRIETARY:
        faults.append(f"branch {branch} has no proprietary kernel modules. Set nvidia_kernel_modules: open")
    return faults
