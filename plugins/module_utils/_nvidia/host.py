# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has and what it lacks, from what files/look.py of the role nvidia found. Pure.

Private to this collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.support import branch_of, flavour_faults

Look: t.TypeAlias = t.Mapping[str, t.Any]
_LOADED: t.Final = re.compile(r"^NVRM version:.*?Module\s.*?(\d+\.\d+[\d.]*)", re.MULTILINE)


def gpus(look: Look) -> list[dict[str, str]]:
    """The GPUs on the PCI bus: display controllers (VGA 0300, 3D 0302), not the audio and bridges beside them."""
    return [dict(one) for one in look["devices"] if one["class"].startswith("0x03")]


def loaded_version(look: Look) -> str:
    """The version of the module that runs; empty for none."""
    found = _LOADED.search(look["loaded"])
    return found[1] if found else ""


def loaded_flavour(look: Look) -> str:
    """Open or proprietary, of the module that runs; empty for none."""
    if not loaded_version(look):
        return ""
    return "open" if "Open Kernel Module" in look["loaded"] else "proprietary"


def module_flavour(module: t.Mapping[str, str]) -> str:
    """Open or proprietary, of a module file: the open one is under MIT and GPL."""
    if not module.get("license"):
        return ""
    return "open" if "GPL" in module["license"] else "proprietary"


def problems(look: Look, wanted: t.Mapping[str, t.Any]) -> list[str]:
    """Why nothing can be installed here; `wanted` has modules, branch, source, secure_boot, steps."""
    found = gpus(look)
    faults = []
    if not found and wanted["steps"] == "all":
        faults.append(
            "there is no NVIDIA GPU on its PCI bus (vendor 10de, class 03). Is this the right host, and is the device "
            "passed to it? A host that shall have none, such as a lab's, needs nvidia_expected: false; an image for "
            "hosts that will have one, nvidia_steps: install"
        )
    if look["secure_boot"] and wanted["secure_boot"] == "refuse" and wanted["source"] != "preinstalled":
        faults.append(
            "Secure Boot is on: the kernel loads no module that it cannot verify, and nothing here enrols a key for "
            "those that DKMS builds. Switch it off in the firmware (AWS: an AMI without UEFI Secure Boot), or enrol "
            "DKMS's key (mokutil --import /var/lib/dkms/mok.pub, then a reboot with a console) and set "
            "nvidia_secure_boot: signed"
        )
    return faults + flavour_faults(found, wanted["modules"], int(wanted["branch"]))


def _needed(look: Look, steps: str) -> list[str]:
    """The kernels that a module is needed for: the one that runs and the next one; for an image those it may boot."""
    if steps == "all":
        return sorted({look["kernel"], look["next_kernel"] or look["kernel"]})
    return [look["next_kernel"]] if look["next_kernel"] else [k for k, v in look["kernels"].items() if v["headers"]]


def build_faults(look: Look, modules: str, steps: str) -> list[str]:
    """Kernels that have no module of the driver whose library is there, once it is installed."""
    faults = []
    needed = _needed(look, steps)
    if not needed:
        faults.append("there is no kernel with headers that a module could be built for")
    if not look["library"]:
        faults.append("libnvidia-ml.so.1 is not there: the packages brought no driver")
    for name in needed:
        kernel = look["kernels"].get(name, {"headers": False, "module": {}})
        module = kernel["module"]
        if not module and name == look["kernel"] != look["next_kernel"] and look["next_kernel"]:
            # The next kernel counts: this one is left by a reboot.
            continue
        if not module and not kernel["headers"]:
            faults.append(f"kernel {name} has neither headers nor a module. Boot a kernel that the packages have")
        elif not module:
            faults.append(
                f"no module was built for kernel {name}: see dkms status and /var/lib/dkms/nvidia*/*/build/make.log on "
                "it. A driver that is older than its kernel often does not compile"
            )
        elif look["library"] and module["version"] != look["library"]:
            faults.append(f"the module for kernel {name} is {module['version']}, the library {look['library']}")
        elif module_flavour(module) != modules:
            faults.append(f"the module for kernel {name} is {module_flavour(module)}, nvidia_kernel_modules {modules}")
    return faults


def branch_faults(look: Look, floor: int, allow_insecure: bool, branch: int = 0) -> list[str]:
    """Why the driver that is there may not stay: older than the floor, or of another branch (0 for any)."""
    has = branch_of(look["library"])
    if not has:
        return []
    if has < floor and not allow_insecure:
        return [
            f"its driver is {look['library']}, older than branch {floor}, which serves CUDA 13. Take nvidia_source: "
            "nvidia, or set nvidia_allow_insecure: true and an engine for an older CUDA"
        ]
    if branch and has != branch:
        return [
            f"its driver is {look['library']}, nvidia_branch {branch}: the source has another branch, or it was there "
            "before (the role upgrades nothing)"
        ]
    return []


def reboot_reasons(look: Look, modules: str) -> list[str]:
    """Why the driver that is installed runs only after a reboot; empty when it runs or can be loaded now."""
    version = loaded_version(look)
    reasons = []
    if look["nouveau"]:
        reasons.append("nouveau holds the GPU")
    if version and look["library"] and version != look["library"]:
        reasons.append(f"driver {version} is loaded, {look['library']} is installed")
    elif version and loaded_flavour(look) != modules:
        reasons.append(f"the {loaded_flavour(look)} module is loaded, the {modules} one is installed")
    running = look["kernels"].get(look["kernel"], {"module": {}})["module"]
    if not version and not running:
        reasons.append(f"kernel {look['kernel']} runs, the module is for {look['next_kernel'] or 'another'}")
    return reasons
