# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node-health check|look|prolog|epilog|forget-xids: what Slurm calls, and two commands for people.

A fault of this program is logged and harms no node and no job.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import syslog
import time
from collections.abc import Mapping, Sequence

from . import ending, host
from .checks import gpu_numbers
from .decide import decide
from .inspection import Inspection, Settings
from .leftovers import Process, left_by
from .run import Runner
from .slurm import Slurm, SlurmError

SETTINGS = "/etc/llmops/node_health.json"
FOLDER = "/run/llmops-node-health"
MODES = ("check", "look", "prolog", "epilog", "forget-xids")


class Program:
    """One call, on this node."""

    def __init__(self, settings: Settings, folder: str, environment: Mapping[str, str]) -> None:
        self._settings, self._environment = settings, environment
        self._memory = host.Memory(folder)
        runner = Runner(folder)
        self._slurm = Slurm(runner, settings.slurm_bin, settings.node)
        self._inspection = Inspection(settings, runner, self._memory)

    def check(self) -> int:
        """Slurm's HealthCheckProgram: drain or resume this node."""
        with open(os.path.join(self._memory.folder, "check.lock"), "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            self._judge(self._inspection.all(self._slurm, self._slurm.show().gres))
        return 0

    def look(self) -> int:
        """Tell a person what is wrong, and change nothing."""
        node = self._slurm.show()
        reasons = self._inspection.all(self._slurm, node.gres)
        action = decide(node, reasons)
        sys.stdout.write("".join(f"{reason}\n" for reason in reasons) or "nothing is wrong\n")
        sys.stdout.write(f"The next health check would {action.what} the node: {action.text}\n")
        return 1 if reasons else 0

    def prolog(self) -> int:
        """Keep a job from a node that is seen to be sick; Slurm gives it another one."""
        started = time.monotonic()
        reasons = self._inspection.quick(self._slurm, self._environment.get("SLURM_JOB_GPUS", ""))
        if not reasons:
            return 0
        job = self._environment.get("SLURM_JOB_ID", "?")
        log(f"job {job} is not started here: {'; '.join(reasons)} (seen in {time.monotonic() - started:.1f} s)")
        try:
            self._judge(reasons, whole=False)
        except SlurmError as error:
            # Slurm drains a node whose prolog fails, if with a reason of its own.
            log(str(error))
        return 1

    def epilog(self) -> int:
        """End what the job left behind, and nothing else."""
        job, uid = self._environment.get("SLURM_JOB_ID", ""), self._environment.get("SLURM_JOB_UID", "")
        # What root started in a job may be a service of this node.
        if not job.isdigit() or not uid.isdigit() or uid == "0":
            return 0
        numbers = gpu_numbers(self._environment.get("SLURM_JOB_GPUS", ""))
        files = [self._file(number) for number in numbers]

        def left() -> list[Process]:
            found = host.processes_of(int(uid), files)
            return left_by(job, found, files, lambda: self._slurm.has_other_jobs(job, int(uid)))

        ended, remaining = ending.end(left, self._settings.kill_grace)
        if ended:
            log(f"job {job} of user {uid} had left {ended} processes, {ended - len(remaining)} were ended")
        if remaining:
            known = self._memory.get("leftovers") or {}
            self._memory.keep("leftovers", {**known, job: [(one.pid, one.started) for one in remaining]})
            self._judge(self._inspection.quick(self._slurm, ""), whole=False)
        return 0

    def forget_xids(self) -> int:
        """After a reset of a GPU: what the kernel's log tells of it is over."""
        self._inspection.forget_xids()
        return 0

    def _file(self, number: int) -> str:
        files = self._settings.gpu_files
        return files[number] if number < len(files) else f"/dev/nvidia{number}"

    def _judge(self, reasons: Sequence[str], whole: bool = True) -> None:
        # Asked again: the inspection may have taken half a minute, in which an admin may have drained the node.
        action = decide(self._slurm.show(), reasons, whole)
        self._slurm.act(action)
        if action.what != "leave":
            log(f"{action.what} {self._settings.node}: {action.text}")


def log(text: str) -> None:
    """To the journal, and to slurmd, which logs what a failed prolog said."""
    syslog.openlog("node_health", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING, text)
    with contextlib.suppress(OSError):
        sys.stderr.write(f"node_health: {text}\n")


def main(
    arguments: Sequence[str],
    settings_file: str = SETTINGS,
    folder: str = FOLDER,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run one mode; a fault of ours, whatever it is, counts as nothing seen."""
    mode = arguments[0] if arguments else ""
    if mode not in MODES:
        sys.stderr.write(f"usage: node-health {'|'.join(MODES)}\n")
        return 2
    try:
        with open(settings_file, encoding="utf-8") as file:
            settings = Settings.of(json.load(file))
        program = Program(settings, folder, os.environ if environment is None else environment)
        return int(getattr(program, mode.replace("-", "_"))())
    except Exception as error:
        log(f"{mode} failed and changed nothing: {type(error).__name__}: {error}")
        return 2 if mode in ("look", "forget-xids") else 0
