# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configuration the commands of Slurm use, and what becomes of what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme import slurm
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.decide import Node
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.slurm import Slurm, SlurmError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(slurm, "FOUND", (tmp_path / "etc.conf", tmp_path / "run.conf"))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return tmp_path


def says(folder: Path, script: str) -> Slurm:
    program = folder / "scontrol"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Slurm(str(folder), "gpu1", str(folder / "kept.conf"))


@pytest.mark.parametrize("there", [["kept.conf"], ["run.conf", "kept.conf"], ["etc.conf"]])
def test_which_configuration(folder: Path, there: list[str]) -> None:
    for name in there:
        (folder / name).touch()
    made = says(folder, 'echo "NodeName=gpu1 State=IDLE+DRAIN Reason=${SLURM_CONF:-its own}"')
    assert made.is_here
    expected = str(folder / "kept.conf") if there == ["kept.conf"] else "its own"
    assert made.node() == Node(True, expected)


def test_a_host_on_which_slurmd_never_ran_has_no_jobs(folder: Path) -> None:
    assert not says(folder, "exit 1").is_here


def test_without_commands_there_is_no_slurm(folder: Path) -> None:
    (folder / "kept.conf").touch()
    assert not Slurm(str(folder), "gpu1", str(folder / "kept.conf")).is_here


def test_a_node_that_slurm_does_not_know(folder: Path) -> None:
    assert says(folder, "echo 'Node gpu1 not found'; exit 1").node() is None


FAULTS = {
    "no answer": (
        "echo 'Unable to contact slurm controller' >&2; exit 1",
        "failed: Unable to contact slurm controller",
    ),
    "something else": ("echo hello", "reading what scontrol shows of gpu1 failed: no State in 'hello"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_said(folder: Path, name: str) -> None:
    script, words = FAULTS[name]
    with pytest.raises(SlurmError) as error:
        says(folder, script).node()
    assert words in str(error.value)
