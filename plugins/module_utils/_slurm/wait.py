# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a job: to run, to end, to be gone. Time in the queue and time at work are counted apart."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import report, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import JobEndedError, JobTimeoutError
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

# KillWait (30 s by default), an epilog, and a node that is slow to answer.
CANCEL_SECONDS = 180.0
# slurmdbd writes a job down some seconds after it ended.
RECORD_SECONDS = 10.0
ASK_AGAIN_SECONDS = 15.0
# slurmctld writes its jobs down at most every 6 seconds. One that is killed before that knows nothing of a cancel.
SECONDS_TO_SAVE = 7.0

_CLOCK_OF_PHASE = {
    states.QUEUED: "queue_timeout",
    states.STARTING: "start_timeout",
    states.RUNNING: "run_timeout",
    states.ENDING: "run_timeout",
}


@dataclass
class PhaseClocks:
    """Seconds spent in each phase, against the seconds allowed. A requeued job goes on where its clock stood."""

    limits: dict[str, float | None]
    spent: dict[str, float] = field(default_factory=dict)
    _last: tuple[str, float] | None = None

    def charge(self, phase: str, now: float) -> float | None:
        """Charge the time since the last look to the phase seen then; what `phase` has left (None: no limit)."""
        if self._last is not None:
            name, since = self._last
            self.spent[name] = self.spent.get(name, 0.0) + (now - since)
        name = _CLOCK_OF_PHASE.get(phase, "run_timeout")
        self._last = (name, now)
        limit = self.limits.get(name)
        return None if limit is None else limit - self.spent.get(name, 0.0)


@dataclass
class JobWatch:
    """Waits for one job of ours through one client."""

    client: SlurmClient
    limits: dict[str, float | None]
    interval: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until_running(self, job: Job) -> Job:
        return self._until(job, goal=states.RUNNING)

    def until_ended(self, job: Job) -> Job:
        return self._until(job, goal=states.GONE)

    def _until(self, job: Job, *, goal: str) -> Job:
        """The job with all its facts once it runs, or once it is over; or the reason why that will not come."""
        clocks = PhaseClocks(self.limits)

        def look() -> Seen[Job]:
            now = self.client.poll(job.job_id)
            if now is None or now.comment != job.comment or now.phase in (goal, states.GONE):
                # An empty answer of squeue is no end: a job that the controller still shows is waited for.
                now = self.last_facts(job)
                if now.phase in (goal, states.GONE):
                    return Seen(done=True, value=now)
            if states.hopeless(now.state, now.reason):
                raise JobTimeoutError(report.hopeless(now), facts=now.facts())
            left = clocks.charge(now.phase, self.clock())
            if left is not None and left <= 0:
                option = _CLOCK_OF_PHASE[now.phase]
                raise JobTimeoutError(report.too_long(now, clocks.spent[option], option), facts=now.facts())
            return Seen(done=False, value=now, look_within=left)

        return Waiter(look, timeout=None, interval=self.interval, clock=self.clock, sleep=self.sleep).wait().value

    def last_facts(self, job: Job) -> Job:
        """Everything known about the job: from the controller, else from accounting.

        One empty answer is no proof that a job is gone, and accounting is late: both are asked again for some seconds.
        """

        def look() -> Seen[Job | None]:
            found = self.client.job(job.job_id)
            if found is None or found.comment != job.comment:
                found = self.client.recorded(job.job_id)
                if found is not None and (found.name != job.name or found.user != job.user or found.live):
                    found = None
            return Seen(done=found is not None, value=found)

        try:
            found = Waiter(look, timeout=RECORD_SECONDS, interval=2.0, clock=self.clock, sleep=self.sleep).wait().value
        except WaitTimeoutError as timeout:
            raise JobEndedError(report.forgotten(job), facts=job.facts()) from timeout
        return t.cast("Job", found)

    def until_cancelled(self, jobs: tuple[Job, ...], *, settle: float = SECONDS_TO_SAVE) -> None:
        """Cancel, see them gone, and still gone after `settle` seconds. A cancel that was forgotten is given again."""
        if not jobs:
            return
        groups = {job.group for job in jobs}
        first = jobs[0]
        asked_at: float | None = None
        gone_at: float | None = None

        def look() -> Seen[list[Job]]:
            nonlocal asked_at, gone_at
            left = [
                job
                for job in self.client.jobs_named(first.name, first.user)
                # A job that still completes holds its GPUs and ports.
                if job.group in groups and job.owner == first.owner and (job.live or "COMPLETING" in job.flags)
            ]
            now = self.clock()
            if not left:
                gone_at = now if gone_at is None else gone_at
                settled = now - gone_at >= settle
                return Seen(done=settled, value=left, look_within=max(0.1, gone_at + settle - now))
            came_back = gone_at is not None
            gone_at = None
            if asked_at is None or came_back or now - asked_at >= ASK_AGAIN_SECONDS:
                heard = self.client.cancel(sorted({job.group for job in left}), first.name, first.user)
                asked_at = self.clock() if heard else None
                # Most jobs are gone at once, so the first pause is short.
                return Seen(done=False, value=left, look_within=0.5)
            return Seen(done=False, value=left)

        waiter = Waiter(look, timeout=CANCEL_SECONDS, interval=self.interval, clock=self.clock, sleep=self.sleep)
        try:
            waiter.wait()
        except WaitTimeoutError as timeout:
            if timeout.last:
                raise JobTimeoutError(report.not_cancelled(timeout.last, timeout.seconds)) from timeout
