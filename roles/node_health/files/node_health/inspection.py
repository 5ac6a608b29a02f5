# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a node, read and judged: all of them for the health check, the quick ones for a prolog."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import checks, host
from .run import Runner
from .slurm import Slurm, SlurmError

QUICK = 2.0


class Settings(NamedTuple):
    """What the role wrote for this node."""

    node: str
    slurm_bin: str
    gpu_source: str
    gpu_count: int
    gpu_files: list[str]
    nvidia_smi: str
    nvidia_smi_timeout: float
    max_uncorrected_ecc: int
    fatal_xids: list[int]
    disks: list[checks.Disk]
    mounts: list[str]
    file_timeout: float
    clock_max_skew: float
    clock_max_offset: float
    clock_synchronised: bool
    kill_grace: float

    @classmethod
    def of(cls, given: dict[str, Any]) -> Settings:
        """The settings from their file."""
        return cls(**{**given, "disks": [checks.Disk(**disk) for disk in given["disks"]]})


class Inspection:
    """One look at the node."""

    def __init__(self, settings: Settings, runner: Runner, memory: host.Memory) -> None:
        self._settings, self._runner, self._memory = settings, runner, memory
        paths = [*(disk.path for disk in settings.disks), *settings.mounts]
        self._paths = {path: f"file system of {path}" for path in paths}

    def all(self, slurm: Slurm, gres: str) -> list[str]:
        """Everything that is wrong, nvidia-smi and clocks asked too."""
        settings = self._settings
        expected = self._expected_gpus(gres)
        files = self._gpu_files(expected)
        smi = expected != 0 and self._asks_smi()
        self._start_files(settings.file_timeout)
        if smi:
            self._start_smi(checks.QUERY)
        reasons = checks.device_reasons(files, host.device_files(files))
        reasons += self._xid_reasons(keep=True)
        reasons += self._clock_reasons(slurm)
        reasons += self._smi_reasons(expected) if smi else []
        reasons += self._file_reasons()
        reasons += self._leftover_reasons()
        self._memory.keep("gpus", {"files": files, "driver": smi and bool(host.device_files([host.DRIVER]))})
        return reasons

    def quick(self, slurm: Slurm, job_gpus: str) -> list[str]:
        """What is wrong as far as a prolog has the time to see."""
        settings = self._settings
        known = self._memory.get("gpus") or {"files": [], "driver": False}
        numbers = [] if settings.gpu_files else checks.gpu_numbers(job_gpus)
        of_job = [f"/dev/nvidia{number}" for number in numbers]
        self._start_files(min(QUICK, settings.file_timeout))
        reasons = self._missing(known["files"], of_job)
        if reasons:
            # The node may have other hardware since the last health check; only now is that worth a question.
            with contextlib.suppress(SlurmError):
                reasons = self._missing(self._gpu_files(self._expected_gpus(slurm.show().gres)), of_job)
        if known["driver"] and not host.device_files([host.DRIVER]):
            reasons.append("the NVIDIA driver is not loaded")
        return reasons + self._xid_reasons(keep=False) + self._file_reasons() + self._leftover_reasons()

    def forget_xids(self) -> None:
        """Faults up to now were dealt with, by a reset of the GPU for example."""
        self._memory.keep("xids", {"forgotten": int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6), "found": {}})

    def _expected_gpus(self, gres: str) -> int | None:
        return checks.expected_gpus(gres) if self._settings.gpu_count < 0 else self._settings.gpu_count

    def _gpu_files(self, expected: int | None) -> list[str]:
        return self._settings.gpu_files or [f"/dev/nvidia{number}" for number in range(expected or 0)]

    @staticmethod
    def _missing(files: Sequence[str], of_job: Sequence[str]) -> list[str]:
        wanted = list(dict.fromkeys([*files, *of_job]))
        return checks.device_reasons(wanted, host.device_files(wanted))

    def _asks_smi(self) -> bool:
        source = self._settings.gpu_source
        return source == "nvidia-smi" or (source == "auto" and host.has_nvidia(self._settings.nvidia_smi))

    def _start_smi(self, fields: Sequence[str]) -> None:
        argv = [self._settings.nvidia_smi, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
        self._runner.start("nvidia-smi", argv, self._settings.nvidia_smi_timeout)

    def _smi_reasons(self, expected: int | None) -> list[str]:
        fields: Sequence[str] = checks.QUERY
        outcome = self._runner.finish("nvidia-smi")
        known = checks.without_unknown_fields(fields, outcome)
        # Once for each field that it may refuse, for it names one at a time.
        while known and len(known) < len(fields):
            fields = known
            self._start_smi(fields)
            outcome = self._runner.finish("nvidia-smi")
            known = checks.without_unknown_fields(fields, outcome)
        return checks.smi_reasons(outcome, fields, expected, self._settings.max_uncorrected_ecc)

    def _xid_reasons(self, *, keep: bool) -> list[str]:
        known = self._memory.get("xids") or {"forgotten": 0, "found": {}}
        fresh = checks.xids(host.kernel_log(), self._settings.fatal_xids, known["forgotten"])
        # The kernel's log is a ring: what it has overwritten is still true.
        found = {**fresh, **known["found"]}
        if keep and found != known["found"]:
            self._memory.keep("xids", {**known, "found": found})
        return list(found.values())

    def _start_files(self, timeout: float) -> None:
        for path, name in self._paths.items():
            self._runner.start(name, ["stat", "--file-system", "--format=%a %S %d %c", "--", path], timeout)

    def _file_reasons(self) -> list[str]:
        outcomes = self._runner.finish_all(self._paths)
        mounted = host.read("/proc/self/mountinfo")
        return [
            *checks.disk_reasons(self._settings.disks, outcomes),
            *checks.mount_reasons(self._settings.mounts, mounted, outcomes),
        ]

    def _clock_reasons(self, slurm: Slurm) -> list[str]:
        settings, reasons = self._settings, []
        if settings.clock_max_skew:
            before, controller, after = time.time(), slurm.time(), time.time()
            reasons += checks.skew_reasons(before, controller, after, settings.clock_max_skew)
        if settings.clock_max_offset or settings.clock_synchronised:
            chrony = self._runner.run("chronyc", ["chronyc", "-n", "tracking"], QUICK)
            if chrony.how == "ended" and not chrony.code:
                reasons += checks.chrony_reasons(chrony.out, settings.clock_max_offset, settings.clock_synchronised)
            elif settings.clock_synchronised and not host.is_synchronised():
                reasons.append("clock is not synchronised")
        return reasons

    def _leftover_reasons(self) -> list[str]:
        left = self._memory.get("leftovers") or {}
        alive = {job: [pid for pid, started in found if host.is_alive(pid, started)] for job, found in left.items()}
        return checks.leftover_reasons({job: pids for job, pids in alive.items() if pids})
