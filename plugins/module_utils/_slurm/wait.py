# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for jobs: to run, to end, to be gone, to be safe. Time in the queue and time at work are counted apart."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, report, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import JobTimeoutError
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

# KillWait (30 s by default), an epilog, and a node that is slow to answer.
CANCEL_SECONDS = 180.0
# slurmdbd writes a job down some seconds after it ended.
RECORD_SECONDS = 10.0
ASK_AGAIN_SECONDS = 15.0
# slurmctld writes its jobs down within some 6 seconds. One that is killed before that forgets a job, or a cancel.
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
class Watched:
    """One job that is waited for, and what came of it: `error`, or the job as it is now.

    `gone` when neither the controller nor accounting has it any more. `tasks` are those of an array.
    """

    job: Job
    clocks: PhaseClocks
    settled: bool = False
    gone: bool = False
    tasks: tuple[Job, ...] = ()
    error: SlurmError | None = None

    def sees(self, jobs: list[Job]) -> bool:
        """Take what a look found of this job, if anything: an id may have been given to another job."""
        members = [job for job in jobs if job.comment == self.job.comment]
        if members:
            self.job = decide.stand_in(members)
        return bool(members)


@dataclass
class JobWatch:
    """Waits for jobs of one user through one client; any number of jobs costs one question a look."""

    client: SlurmClient
    limits: dict[str, float | None]
    interval: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def until_running(self, jobs: Sequence[Job]) -> list[Watched]:
        """Each runs (of an array: one of its tasks), or has ended, or has its error."""
        return self._until(jobs, goal=states.RUNNING)

    def until_ended(self, jobs: Sequence[Job]) -> list[Watched]:
        """Each has ended (an array: all of its tasks), or has its error."""
        return self._until(jobs, goal=states.GONE)

    def _until(self, jobs: Sequence[Job], *, goal: str) -> list[Watched]:
        watched = [Watched(job, PhaseClocks(self.limits)) for job in jobs]

        def look() -> Seen[None]:
            waiting = [one for one in watched if not one.settled]
            seen = decide.by_group(self.client.poll_all([one.job.group for one in waiting]))
            unseen = [one for one in waiting if not one.sees(seen.get(one.job.group, []))]
            # An empty answer is no end: a job that is shown elsewhere is waited for.
            self.read_facts(unseen)
            left = [self._judge(one, goal) for one in waiting]
            limits = [seconds for seconds in left if seconds is not None]
            return Seen(
                done=all(one.settled for one in watched), value=None, look_within=min(limits) if limits else None
            )

        if watched:
            Waiter(look, timeout=None, interval=self.interval, clock=self.clock, sleep=self.sleep).wait()
        self.read_facts([one for one in watched if one.error is None and not one.gone])
        return watched

    def _judge(self, one: Watched, goal: str) -> float | None:
        """Settle the job if this look decides it; else the seconds that its clock has left (None: no limit)."""
        job = one.job
        if one.gone or job.phase in (goal, states.GONE):
            one.settled = True
            return None
        left = one.clocks.charge(job.phase, self.clock())
        if states.hopeless(job.state, job.reason):
            one.error = JobTimeoutError(report.hopeless(job), facts=job.facts())
        elif left is not None and left <= 0:
            option = _CLOCK_OF_PHASE[job.phase]
            one.error = JobTimeoutError(report.too_long(job, one.clocks.spent[option], option), facts=job.facts())
        one.settled = one.error is not None
        return left

    def read_facts(self, watched: Sequence[Watched]) -> None:
        """Everything known about the jobs: from the controller, else from accounting.

        One empty answer is no proof that a job is gone, and accounting is late: all are asked again for some seconds.
        """
        lacking = {one.job.group: one for one in watched}

        def take(found: list[Job], fits: Callable[[Job, Job], bool]) -> None:
            for group, members in decide.by_group(found).items():
                one = lacking.get(group)
                ours = [job for job in members if one is not None and fits(job, one.job)]
                if one is not None and ours:
                    one.job = decide.stand_in(ours)
                    one.tasks = tuple(job for job in ours if job.array_task_id is not None)
                    del lacking[group]

        def look() -> Seen[None]:
            sources = (
                (self.client.jobs, _is_the_same),
                (self.client.recorded_all, _is_its_record),
                (self.client.shown, _is_the_same),
            )
            for ask, fits in sources:
                if lacking:
                    take(ask(list(lacking)), fits)
            return Seen(done=not lacking, value=None)

        try:
            Waiter(look, timeout=RECORD_SECONDS, interval=2.0, clock=self.clock, sleep=self.sleep).wait()
        except WaitTimeoutError:
            for one in lacking.values():
                one.gone = True

    def until_saved(self, comments: Mapping[str, int], since: float) -> None:
        """Until the controller has written down these comments, so many times each, or had the time to do so.

        It acknowledged the last of them at `since` (seconds since 1970).
        """
        timeout = max(0.0, since + SECONDS_TO_SAVE - self.now())
        last: float | None = None

        def look() -> Seen[None]:
            nonlocal last
            saved_at = self.client.state_saved_at()
            if saved_at is None or saved_at == last:
                return Seen(done=False, value=None)
            last = saved_at
            state = self.client.saved_state()
            return Seen(done=all(state.count(key.encode()) >= times for key, times in comments.items()), value=None)

        with contextlib.suppress(WaitTimeoutError):
            Waiter(look, timeout=timeout, interval=0.1, clock=self.clock, sleep=self.sleep).wait()

    def _saved(self, since: float) -> bool:
        saved = self.client.state_saved_at()
        return (saved is not None and saved > since) or self.now() - since >= SECONDS_TO_SAVE

    def until_cancelled(self, jobs: Sequence[Job]) -> None:
        """Cancel, and see them gone, also when the controller has saved that. A forgotten cancel is given again."""
        if not jobs:
            return
        groups = {job.group: job for job in jobs}
        names, user = sorted({job.name for job in jobs}), jobs[0].user
        asked_at: float | None = None
        gone_at: float | None = None

        def look() -> Seen[list[Job]]:
            nonlocal asked_at, gone_at
            left = [
                job
                for job in self.client.jobs_named(names, user)
                # A job that still completes holds its GPUs and ports.
                if job.group in groups
                and job.owner == groups[job.group].owner
                and (job.live or "COMPLETING" in job.flags)
            ]
            if not left:
                gone_at = self.now() if gone_at is None else gone_at
                return Seen(done=self._saved(gone_at), value=left, look_within=0.5)
            came_back = gone_at is not None
            gone_at = None
            if asked_at is None or came_back or self.clock() - asked_at >= ASK_AGAIN_SECONDS:
                by_name = {name: sorted({job.group for job in left if job.name == name}) for name in names}
                heard = [self.client.cancel(ids, name, user) for name, ids in by_name.items() if ids]
                asked_at = self.clock() if all(heard) else None
                # Most jobs are gone at once, so the first pause is short.
                return Seen(done=False, value=left, look_within=0.5)
            return Seen(done=False, value=left)

        waiter = Waiter(look, timeout=CANCEL_SECONDS, interval=self.interval, clock=self.clock, sleep=self.sleep)
        try:
            waiter.wait()
        except WaitTimeoutError as timeout:
            if timeout.last:
                raise JobTimeoutError(report.not_cancelled(timeout.last, timeout.seconds)) from timeout


def _is_the_same(found: Job, job: Job) -> bool:
    return found.comment == job.comment


def _is_its_record(found: Job, job: Job) -> bool:
    """Accounting may not keep comments. A record that says "running" of a job that is gone is only late."""
    return found.name == job.name and found.user == job.user and not found.live
