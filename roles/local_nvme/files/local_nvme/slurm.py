# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of slurmctld."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .decide import Node, parse_node

_PATIENCE = 10.0


class SlurmError(Exception):
    """slurmctld gave no answer, or another than was asked for."""


class Slurm:
    """This node, by the commands of Slurm."""

    def __init__(self, folder: str, name: str) -> None:
        self._scontrol, self.name = Path(folder) / "scontrol", name

    @property
    def is_here(self) -> bool:
        """Whether Slurm is installed; before it is, there are no jobs."""
        return self._scontrol.exists()

    def node(self) -> Node | None:
        """None for a node that Slurm does not know (yet)."""
        try:
            return parse_node(self._run("--oneliner", "show", "node", self.name))
        except ValueError as error:
            raise SlurmError(f"reading what scontrol shows of {self.name} failed: {error}") from error
        except SlurmError as error:
            if "not found" in str(error):
                return None
            raise

    def drain(self, reason: str) -> None:
        self._run("update", f"nodename={self.name}", "state=drain", f"reason={reason}")

    def resume(self) -> None:
        self._run("update", f"nodename={self.name}", "state=resume")

    def _run(self, *arguments: str) -> str:
        words = f"scontrol {' '.join(arguments)}"
        try:
            done = subprocess.run(
                [str(self._scontrol), *arguments], capture_output=True, text=True, timeout=_PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SlurmError(f"{words} failed: {error}") from error
        if done.returncode:
            raise SlurmError(f"{words} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout
