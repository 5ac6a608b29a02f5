# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of slurmctld."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .decide import Node, parse_node

_PATIENCE = 10.0
# Where commands find the configuration by themselves: a host's own, and what slurmd fetches when it starts.
FOUND = (Path("/etc/slurm/slurm.conf"), Path("/run/slurm/conf/slurm.conf"))


class SlurmError(Exception):
    """slurmctld gave no answer, or another than was asked for."""


class Slurm:
    """This node, by the commands of Slurm.

    This runs before slurmd, which fetches the configuration from the controller; then `kept`, slurmd's own copy of the
    last one, is what there is.
    """

    def __init__(self, folder: str, name: str, kept: str) -> None:
        self._scontrol, self.name, self._kept = Path(folder) / "scontrol", name, Path(kept)

    @property
    def is_here(self) -> bool:
        """Whether Slurm is installed and slurmd has ever run; before, there are no jobs."""
        return self._scontrol.exists() and any(path.exists() for path in (*FOUND, self._kept))

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
        environment = dict(os.environ)
        if not any(path.exists() for path in FOUND):
            environment["SLURM_CONF"] = str(self._kept)
        try:
            done = subprocess.run(
                [str(self._scontrol), *arguments],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SlurmError(f"{words} failed: {error}") from error
        if done.returncode:
            raise SlurmError(f"{words} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout
