# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which job, node and rank this is, as Slurm tells it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where this process stands: what its files and its container are named by."""

    job: str
    node: str
    rank: int
    # How often Slurm has started the job again: its files of before are kept.
    restarts: int = 0

    @property
    def container(self) -> str:
        return f"llmops-{self.job}-{self.rank}"

    def stem(self, name: str) -> str:
        """The beginning of the names of this node's files."""
        again = f"_{self.restarts + 1}" if self.restarts else ""
        return f"{name}_{self.job}{again}_{self.node}_{self.rank}"


def place_of(environ: Mapping[str, str]) -> Place:
    return Place(
        job=environ.get("SLURM_JOB_ID", "0"),
        node=environ.get("SLURMD_NODENAME") or socket.gethostname().split(".", 1)[0],
        rank=int(environ.get("SLURM_PROCID") or 0),
        restarts=int(environ.get("SLURM_RESTART_COUNT") or 0),
    )
