# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of NVIDIA: prints one line of JSON. Reads only; for Python 3.9 or newer, its standard library alone.

Arguments: the folder that stands for / (tests give another), and the environment of the engine.
"""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
from typing import Any

_VENDOR = "0x10de"
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Where DKMS, the kmod packages of distributions and Ubuntu's signed modules put a module.
_MODULE_FOLDERS = ("updates", "extra", "weak-updates", "kernel/drivers/video", "kernel/nvidia*")
_MODULE = re.compile(r"nvidia(?:-current(?:-open)?|-tesla[0-9-]*)?\.ko(?:\.(?:xz|zst|gz))?")


def read(path: str) -> str:
    """A small file; empty when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def output(*command: str) -> str:
    """What a program printed; empty when it is not there or failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def devices(root: str) -> list[dict[str, str]]:
    """NVIDIA's devices on the PCI bus."""
    found = []
    for folder in sorted(glob.glob(os.path.join(root, "sys/bus/pci/devices/*"))):
        if read(os.path.join(folder, "vendor")) == _VENDOR:
            words = {name: read(os.path.join(folder, name)) for name in ("class", "device")}
            found.append({"address": os.path.basename(folder), **words})
    return found


def secure_boot(root: str) -> bool:
    """Whether the firmware lets signed code alone run: four bytes of attributes, then 1. No EFI: no."""
    try:
        with open(os.path.join(root, _SECURE_BOOT), "rb") as file:
            return file.read()[4:5] == b"\x01"
    except OSError:
        return False


def module(folder: str) -> dict[str, str]:
    """The NVIDIA module of a kernel, as its folder below /lib/modules has it; empty when there is none."""
    for part in _MODULE_FOLDERS:
        for top in sorted(glob.glob(os.path.join(folder, part))):
            for path, _folders, files in sorted(os.walk(top)):
                name = next((name for name in sorted(files) if _MODULE.fullmatch(name)), "")
                if name:
                    path = os.path.join(path, name)
                    return {
                        "path": path,
                        "version": output("/sbin/modinfo", "-F", "version", path),
                        "license": output("/sbin/modinfo", "-F", "license", path),
                    }
    return {}


def kernels(root: str) -> dict[str, Any]:
    """The kernels whose modules are here: whether a module can be built for them, and NVIDIA's where it was."""
    found = {}
    for folder in sorted(glob.glob(os.path.join(root, "lib/modules/*"))):
        headers = os.path.exists(os.path.join(folder, "build/Makefile"))
        found[os.path.basename(folder)] = {"headers": headers, "module": module(folder)}
    return found


def age(name: str) -> list[Any]:
    """What sorts the releases of kernels by age."""
    return [(1, int(word)) if word.isdigit() else (0, word) for word in re.findall(r"[0-9]+|[a-z]+", name)]


def next_kernel(root: str) -> str:
    """The kernel of the next boot: as grubby says, else the newest in /boot; empty in a container without one."""
    images = glob.glob(os.path.join(root, "boot/vmlinuz-*"))
    names = [os.path.basename(image).partition("-")[2] for image in images]
    names = [name for name in names if "rescue" not in name]
    chosen = output("grubby", "--default-kernel") if root == "/" else ""
    return os.path.basename(chosen).partition("-")[2] or max(names, key=age, default="")


def library(root: str) -> str:
    """The version of the driver's library: libnvidia-ml.so.1 is a link to a file that carries it in its name."""
    places = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib")
    for place in places:
        path = os.path.realpath(os.path.join(root, place, "libnvidia-ml.so.1"))
        version = re.search(r"\.so\.([0-9]+\.[0-9.]+)$", path)
        if version and os.path.exists(path):
            return version[1]
    return ""


def torch(venv: str) -> str:
    """What the engine's torch says of itself; empty when there is no engine yet."""
    return next(
        (read(path) for path in glob.glob(os.path.join(venv, "lib/python3*/site-packages/torch/version.py"))), ""
    )


def look(root: str, venv: str) -> dict[str, Any]:
    """All of it."""
    return {
        "devices": devices(root),
        "secure_boot": secure_boot(root),
        "kernel": os.uname().release,
        "next_kernel": next_kernel(root),
        "kernels": kernels(root),
        "loaded": read(os.path.join(root, "proc/driver/nvidia/version")),
        "nouveau": os.path.isdir(os.path.join(root, "sys/module/nouveau")),
        "library": library(root),
        "torch": torch(venv),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(sys.argv[1], sys.argv[2]), sort_keys=True) + "\n")
