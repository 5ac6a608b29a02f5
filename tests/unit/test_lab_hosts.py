# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab throws away of what others may use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab import hosts

DAY = 24 * 3600


def test_builds_that_may_be_in_use_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path))
    folder = tmp_path / "artifacts"
    folder.mkdir()
    ages = {
        "slurm-24.11.5-a": 9,
        "slurm-24.11.5-b": 8,
        "slurm-24.11.5-c": 3,
        "slurm-24.11.5-d": 2,
        "slurm-24.11.5-e": 1,
    }
    for name, days in {**ages, "slurm-25.11.2-a": 99}.items():
        (folder / f"{name}.tar.zst").touch()
        os.utime(folder / f"{name}.tar.zst", times=(time.time() - days * DAY,) * 2)
    for name in ("x", "y", "z", "u", "v"):
        (folder / f"munge-0.5.18-{name}.tar.zst").touch()
    hosts._prune_artifacts()
    left = {path.name.removesuffix(".tar.zst") for path in folder.iterdir()}
    assert {*ages, "slurm-25.11.2-a"} - left == {"slurm-24.11.5-a"}
    assert len([name for name in left if name.startswith("munge")]) == 5
