# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is between the user and a climb: the job, and where its engine is now."""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.llmops.cluster.plugins.module_utils._vllm import classify
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Climb, Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import Locate, Place

# Slurm's controller is asked no oftener than this, however often the engine is; once more when all seems well.
JOB_PAUSE = 2.0
VERSION_SECONDS = 5.0


class Ladder:
    """One look is `look`: the job, then its place, then a climb there."""

    def __init__(
        self,
        locate: Locate,
        target: Target,
        job: Callable[[], JobSeen] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._locate = locate
        self._target = target
        self._ask_job = job
        self._clock = clock
        self._job = JobSeen("unknown")
        self._job_asked: float | None = None
        self._runs = _Runs()
        self.place: Place | None = None

    @property
    def restarts(self) -> int:
        """How often the job went back into the queue while we looked."""
        return self._runs.restarts

    @property
    def loads(self) -> int:
        """How often the engine began to load while we looked."""
        return self._runs.loads

    def look(self, budget: float, patience: float | None = None) -> Verdict:
        """`budget`: the seconds for all requests together. `patience`: for one of them (None: request_timeout)."""
        ends = self._clock() + budget
        if verdict := classify.of_job(self._look_at_job()):
            return verdict
        verdict = self._climb(ends, patience or self._target.request_timeout)
        if self._ask_job is None or verdict.state == "loading":
            return verdict
        # Trouble may mean that the job has just ended, and an answer may be that of a server that it left behind.
        runs = self._runs.loads
        job = self._look_at_job(at_once=verdict.state in ("ready", "auth_error"))
        if changed := classify.of_job(job):
            return changed
        if runs and self._runs.loads != runs:
            return Verdict("starting", "job", f"{job.detail}, anew")
        return verdict

    def version(self) -> str | None:
        reply = self.place.client.get("/version", VERSION_SECONDS) if self.place else Fault("no_route", "no place")
        value = None if isinstance(reply, Fault) or reply.status != 200 else reply.json()
        version = value.get("version") if isinstance(value, dict) else None
        return version if isinstance(version, str) else None

    def _climb(self, ends: float, patience: float) -> Verdict:
        place = self._locate(self._job)
        if isinstance(place, Verdict):
            return place
        self.place = place
        job_runs = self._job.phase == "running"
        return Climb(place, self._target, job_runs, ends, patience, self._clock).climb()

    def _look_at_job(self, *, at_once: bool = False) -> JobSeen:
        now = self._clock()
        due = self._job_asked is None or now - self._job_asked >= JOB_PAUSE or at_once
        if self._ask_job is not None and due:
            self._job_asked = now
            self._job = self._ask_job()
            self._runs.see(self._job)
        return self._job


class _Runs:
    """Tells the runs of one job from each other: a requeue keeps the id and changes the start."""

    def __init__(self) -> None:
        self.restarts = 0
        self.loads = 0
        self._running = False
        self._started: int | None = None

    def see(self, job: JobSeen) -> None:
        if job.phase == "pending" and self._running:
            self.restarts += 1
            self._running = False
        if job.phase != "running":
            return
        if not self._running:
            self.loads += 1
        elif None not in (job.started, self._started) and job.started != self._started:
            self.restarts += 1
            self.loads += 1
        self._running = True
        self._started = job.started
