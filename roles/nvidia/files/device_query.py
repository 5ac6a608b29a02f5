# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver answers a program: prints one line of JSON. For Python 3.9 or newer, its standard library alone.

Asks libcuda, as every CUDA program does: needs no toolkit, and fails where nvidia-smi does not, for cuInit wants the
kernel module nvidia-uvm and its device file too.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

# CUdevice_attribute of cuda.h.
_MAJOR, _MINOR = 75, 76


class QueryError(Exception):
    """libcuda refused a call."""


def ask(cuda: Any) -> dict[str, Any]:
    """The devices that a program sees, and the CUDA that the driver serves (13000 is 13.0)."""

    def call(name: str, *arguments: Any) -> None:
        code = getattr(cuda, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            cuda.cuGetErrorString(code, ctypes.byref(text))
            raise QueryError(f"{name}: error {code}, {(text.value or b'unknown').decode()}")

    call("cuInit", 0)
    version, count = ctypes.c_int(), ctypes.c_int()
    call("cuDriverGetVersion", ctypes.byref(version))
    call("cuDeviceGetCount", ctypes.byref(count))
    found = []
    for number in range(count.value):
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        name = ctypes.create_string_buffer(100)
        call("cuDeviceGet", ctypes.byref(device), number)
        call("cuDeviceGetName", name, len(name), device)
        call("cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, device)
        call("cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, device)
        found.append({"name": name.value.decode(), "capability": f"{major.value}.{minor.value}"})
    return {"cuda": version.value, "devices": found, "error": ""}


def main() -> None:
    """Print what was found, or why nothing was."""
    try:
        found = ask(ctypes.CDLL("libcuda.so.1"))
    except (OSError, QueryError) as error:
        found = {"cuda": 0, "devices": [], "error": str(error)}
    sys.stdout.write(json.dumps(found, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
