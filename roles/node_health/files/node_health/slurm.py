# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of slurmctld."""

from __future__ import annotations

import re

from .decide import Action, Node, parse_node
from .run import Runner

# Together with nvidia-smi less than the minute after which slurmd kills the health check.
_PATIENCE = 10.0


class SlurmError(Exception):
    """slurmctld gave no answer, or another than was asked for."""


class Slurm:
    """The controller, asked by the commands of Slurm."""

    def __init__(self, runner: Runner, folder: str, node: str) -> None:
        self._runner, self._folder, self.node = runner, folder, node

    def show(self) -> Node:
        """This node as slurmctld has it."""
        try:
            return parse_node(self._ask("scontrol", "show", "node", self.node, "--json"), self.node)
        except (ValueError, TypeError, AttributeError) as error:
            raise SlurmError(f"Reading what scontrol shows of {self.node} failed: {error}") from None

    def act(self, action: Action) -> None:
        """Drain or resume this node."""
        if action.what == "drain":
            self._ask("scontrol", "update", f"nodename={self.node}", "state=drain", f"reason={action.text}")
        elif action.what == "resume":
            self._ask("scontrol", "update", f"nodename={self.node}", "state=resume")

    def time(self) -> float | None:
        """The controller's clock in whole seconds; None when it was not told."""
        try:
            found = re.search(r"^sdiag output at .*\(([0-9]+)\)", self._ask("sdiag"), re.MULTILINE)
        except SlurmError:
            return None
        return float(found[1]) if found else None

    def has_other_jobs(self, job: str, uid: int) -> bool:
        """Whether a user has another job on this node. Unknown counts as yes: it protects that job's processes."""
        try:
            text = self._ask("squeue", "--noheader", "--format=%A", f"--user={uid}", f"--nodelist={self.node}")
        except SlurmError:
            return True
        return bool(set(text.split()) - {job})

    def _ask(self, program: str, *arguments: str) -> str:
        argv = [f"{self._folder}/{program}", *arguments]
        outcome = self._runner.run(f"{program} {' '.join(arguments[:2])}", argv, _PATIENCE)
        if outcome.how != "ended" or outcome.code:
            how = outcome.words if outcome.how == "ended" else outcome.how
            raise SlurmError(f"{program} {' '.join(arguments[:2])} failed: {how}")
        return outcome.out
