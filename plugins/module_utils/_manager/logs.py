# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job's logs, read on this host or, where hosts share no home, on the node through the job's own allocation."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import run

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

TAIL_BYTES = 256 * 1024
FOLLOW_SECONDS = 0.5
# A line without an end is shown after so many bytes all the same.
LONGEST_LINE = 65536


def paths_of(job: Job) -> list[str]:
    return [path for path in dict.fromkeys([job.stdout, job.stderr]) if path]


def step_on_node(srun: str, job: Job, argv: list[str]) -> list[str]:
    """A command beside the engine in the job's allocation: no cores and no memory of its own."""
    return [
        srun,
        f"--jobid={job.job_id}",
        "--overlap",
        "--nodes=1",
        "--ntasks=1",
        f"--nodelist={job.batch_host or job.nodes}",
        "--mem=0",
        "--quiet",
        "--",
        *argv,
    ]


@dataclass
class Logs:
    """Logs of jobs of this process's own user."""

    client: SlurmClient
    srun: str | None
    tail_bytes: int = TAIL_BYTES

    def read(self, job: Job, *, remote: bool = True) -> dict[str, str | None]:
        """The ends of the job's logs by their paths; None of one that cannot be read from here."""
        found: dict[str, str | None] = {path: self._local(path) for path in paths_of(job)}
        if remote and job.phase == "running" and self.srun:
            for path in [path for path, text in found.items() if text is None]:
                found[path] = self._on_node(job, path)
        return found

    def _local(self, path: str) -> str | None:
        try:
            with open(path, "rb") as handle:
                size = os.fstat(handle.fileno()).st_size
                handle.seek(max(0, size - self.tail_bytes))
                return handle.read(self.tail_bytes).decode("utf-8", errors="replace")
        except OSError:
            return None

    def _on_node(self, job: Job, path: str) -> str | None:
        argv = step_on_node(self.srun or "", job, ["tail", f"--bytes={self.tail_bytes}", "--", path])
        answer = run(argv, _environment())
        return answer.out if answer.rc == 0 else None


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SRUN_"))}


@dataclass
class Follower:
    """New lines of some files, as they come, until `over` says that no more will."""

    paths: list[str]
    over: Callable[[], bool]
    sleep: Callable[[float], None] = time.sleep
    pause: float = FOLLOW_SECONDS
    _places: dict[str, int] = field(default_factory=dict)
    _rests: dict[str, bytes] = field(default_factory=dict)

    def start_at_end(self) -> None:
        for path in self.paths:
            with contextlib.suppress(OSError):
                self._places[path] = os.stat(path).st_size

    def lines(self) -> Iterator[tuple[str, str]]:
        """Path and line. Everything that was written before the end is shown, then it ends."""
        while True:
            ended = self.over()
            fresh = False
            for path in self.paths:
                for line in self._new(path, flush=ended):
                    fresh = True
                    yield path, line
            if ended and not fresh:
                return
            if not fresh:
                self.sleep(self.pause)

    def _new(self, path: str, *, flush: bool) -> list[str]:
        try:
            with open(path, "rb") as handle:
                if os.fstat(handle.fileno()).st_size < self._places.get(path, 0):
                    # Emptied, or another file of this name.
                    self._places[path] = 0
                handle.seek(self._places.get(path, 0))
                data = handle.read(TAIL_BYTES)
        except OSError:
            return []
        self._places[path] = self._places.get(path, 0) + len(data)
        # A progress bar writes itself over with carriage returns: each state of it is a line here.
        text = (self._rests.pop(path, b"") + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = text.split(b"\n")
        if rest and (flush or len(rest) > LONGEST_LINE):
            whole, rest = [*whole, rest], b""
        if rest:
            self._rests[path] = rest
        return [line.decode("utf-8", errors="replace") for line in whole]


def follow_on_node(srun: str, job: Job, lines: int) -> Iterator[str]:
    """New lines from the node, as long as the job runs."""
    argv = step_on_node(srun, job, ["tail", f"--lines={lines}", "--quiet", "-F", "--", *paths_of(job)])
    with subprocess.Popen(
        argv, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        try:
            for line in process.stdout or ():
                yield line.decode("utf-8", errors="replace").rstrip("\n")
        finally:
            process.terminate()


def last_lines(text: str, lines: int) -> list[str]:
    """The last lines, of which a progress bar's many states count as the one that it ended with."""
    whole = [line.rsplit("\r", 1)[-1] if not line.endswith("\r") else line for line in text.split("\n")]
    if whole and not whole[-1]:
        whole.pop()
    return [mask(line) for line in whole[-lines:]] if lines else []
