# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of slurmctld."""

from __future__ import annotations

import subprocess

from .decide import Job, Node, parse_jobs, parse_node

_PATIENCE = 10.0
# Jobs that have begun here: running, suspended, in their prolog.
_STATES = "RUNNING,SUSPENDED,CONFIGURING"


class SlurmError(Exception):
    """slurmctld gave no answer, or another than was asked for."""


class Slurm:
    """This node and its jobs, by the commands of Slurm."""

    def __init__(self, folder: str, node: str) -> None:
        self._folder, self.name = folder, node

    def node(self) -> Node:
        try:
            return parse_node(self._run("scontrol", "--oneliner", "show", "node", self.name))
        except ValueError as error:
            raise SlurmError(f"reading what scontrol shows of {self.name} failed: {error}") from error

    def drain(self, reason: str) -> None:
        self._run("scontrol", "update", f"nodename={self.name}", "state=drain", f"reason={reason}")

    def jobs(self) -> list[Job]:
        form = "--Format=JobID:.20,Requeue:.9,BatchFlag:.9,NumNodes:.9"
        return parse_jobs(self._run("squeue", "--noheader", f"--nodelist={self.name}", f"--states={_STATES}", form))

    def requeue(self, job: str) -> None:
        self._run("scontrol", "requeue", job)

    def state(self, job: str) -> str:
        return self._run("squeue", "--noheader", f"--jobs={job}", "--states=all", "--format=%T").strip()

    def start_now(self, job: str) -> None:
        """As soon as there is room, and not when the credential of its last start is over."""
        self._run("scontrol", "update", f"jobid={job}", "starttime=now")

    def warn(self, job: str) -> None:
        """SIGTERM to all of a job: its script, what that started, its steps."""
        self._run("scancel", "--full", "--signal=TERM", job)

    def _run(self, program: str, *arguments: str) -> str:
        argv = [f"{self._folder}/{program}", *arguments]
        words = f"{program} {' '.join(arguments)}"
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SlurmError(f"{words} failed: {error}") from error
        if done.returncode:
            raise SlurmError(f"{words} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout
