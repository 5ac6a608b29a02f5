# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of things: look, decide, act, wait. One run of the module slurm_job, for one job or for many."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, describe, report
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.change import Changes, Work
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import JobEndedError, SlurmError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import secret_values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import AT_ONCE, ATTEMPTS, Submitter

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.decide import Survey
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import Order
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import JobWatch, Watched

# The next job gets the id of a lost one. A node that still has to end the lost one would refuse the new one with it
# ("already killed"), and it hears of the loss some seconds after the controller is back.
SECONDS_TO_ABORT = 5.0


@dataclass
class JobManager:
    """Brings the jobs of one user to what is wanted."""

    client: SlurmClient
    watch: JobWatch
    check_mode: bool
    until_saved: bool = True
    at_once: int = AT_ONCE
    lock: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def absent(self, names: Sequence[str], user: str) -> list[Outcome]:
        """No job of ours of these names, whatever its key."""
        with self.lock():
            jobs = self.client.jobs_named(names, user)
            found = [(name, decide.survey(jobs, name=name, user=user, key=None)) for name in names]
            outcomes = [self._without(name, user, seen) for name, seen in found]
            if not self.check_mode:
                self.watch.until_cancelled([job for _name, seen in found for job in seen.ours])
                self._read_again([outcome for outcome in outcomes if outcome.changed])
        return outcomes

    def _without(self, name: str, user: str, seen: Survey) -> Outcome:
        outcome = Outcome.of(seen)
        ours = seen.ours
        if not ours:
            outcome.message = f"There is no job {name} of {user} to cancel."
            return outcome
        outcome.changed = True
        outcome.job = decide.by_merit(ours)[0]
        outcome.cancelled = ours
        before = {"jobs": "\n".join(f"{job.title}: {job.state}" for job in ours)}
        outcome.diff = describe.as_diff(describe.compare(before, {}), f"jobs {name} of {user}", "absent")
        titles = ", ".join(job.title for job in ours)
        outcome.message = f"{'Would cancel' if self.check_mode else 'Cancelled'} {titles}."
        return outcome

    def present(self, orders: Sequence[Order], *, state: str, on_change: str) -> list[Outcome]:
        """The jobs as ordered, brought as far as `state` (submitted, running, completed).

        What keeps any of them from being made is raised before the first is touched. After that each has its own fate.
        """
        booted = self.client.boot_time(now=False)
        with self.lock():
            jobs = self._jobs_of(orders)
            works = self._plan(orders, jobs, state=state, on_change=on_change)
            if not self.check_mode:
                self._act([work for work in works if work.plan.action != decide.DONE], jobs)
        waiting = [] if self.check_mode else [work for work in works if work.open and work.plan.action != decide.DONE]
        for attempt in range(ATTEMPTS):
            lost = self._bring_to(state, waiting, booted)
            if not lost or attempt == ATTEMPTS - 1:
                break
            self.sleep(SECONDS_TO_ABORT)
            booted = self.client.boot_time()
            with self.lock():
                self._make(lost, self._jobs_of([work.order for work in lost]))
            waiting = [work for work in lost if work.open]
        return [work.outcome for work in works]

    def _plan(self, orders: Sequence[Order], jobs: list[Job], *, state: str, on_change: str) -> list[Work]:
        works = []
        for order in orders:
            seen = self._survey(order, jobs)
            works.append(Work(order, decide.decide(seen, on_change=on_change), Outcome.of(seen)))
        if state == "completed":
            self._leave_completed(works, jobs)
        Changes(self.client, check_mode=self.check_mode).foresee(works)
        return works

    def _jobs_of(self, orders: Sequence[Order]) -> list[Job]:
        return self.client.jobs_named([order.name for order in orders], orders[0].spec.user)

    @staticmethod
    def _survey(order: Order, jobs: list[Job]) -> Survey:
        return decide.survey(jobs, name=order.name, user=order.spec.user, key=order.key)

    def _leave_completed(self, works: list[Work], jobs: list[Job]) -> None:
        """Jobs of these keys that have done their work are done: by the controller's memory, else by accounting."""
        unsure = [work for work in works if work.plan.action == decide.SUBMIT]
        for work in unsure:
            if not work.order.spec.is_array:
                _mark_done(work, self._survey(work.order, jobs))
        unsure = [work for work in unsure if work.plan.action == decide.SUBMIT]
        if not unsure:
            return
        recorded = self.client.recorded_named([work.order.name for work in unsure], unsure[0].order.spec.user)
        for work in unsure:
            known = recorded
            if work.order.spec.is_array:
                # The controller forgets an array task by task; accounting's text does not say what belongs together.
                known = [job for job in recorded if job.group_id] if recorded else jobs
            _mark_done(work, self._survey(work.order, known))

    def _act(self, works: list[Work], jobs: list[Job]) -> None:
        cancelled = [job for work in works if work.outcome.changed for job in work.plan.cancel]
        self.watch.until_cancelled(cancelled)
        missing = [work for work in works if work.plan.action in (decide.SUBMIT, decide.REPLACE)]
        # Cancelling takes its time, in which others may have been quicker.
        self._make(missing, self._jobs_of([work.order for work in missing]) if missing and cancelled else jobs)

    def _make(self, works: list[Work], jobs: list[Job]) -> None:
        """Submit what is not there yet among the jobs seen last, each once."""
        if not works:
            return
        # A controller that died may have forgotten not only the new job but also that the old one was cancelled.
        self.watch.until_cancelled(
            [job for work in works if work.submitted_at for job in self._survey(work.order, jobs).other]
        )
        for work in works:
            work.outcome.error = None
            same = self._survey(work.order, jobs).same
            work.outcome.job = decide.by_merit(same)[0] if same else None
            if same and work.plan.action == decide.SUBMIT and work.submitted_at is None:
                # Another run was quicker, since the plan was made.
                work.outcome.changed, work.outcome.diff = False, None
                work.outcome.keep(same[0])
        missing = [work for work in works if work.outcome.job is None]
        for work in missing:
            work.before = sum(work.order.made(job) for job in jobs)
        known = frozenset(job.job_id for work in missing for job in jobs if work.order.made(job))
        submitter = Submitter(self.client, known, self.at_once, clock=self.clock, sleep=self.sleep)
        seen = submitter.submit([work.order for work in missing])
        for work in missing:
            work.submitted_at = self.now()
            work.outcome.error = submitter.errors.get(work.order.name)
            work.outcome.job = submitter.made.get(work.order.name)
            work.outcome.changed = work.outcome.job is not None or bool(work.outcome.cancelled)
            self._drop_doubles(work, seen)

    def _drop_doubles(self, work: Work, jobs: list[Job]) -> None:
        """Somebody else may have submitted the same job in the same moment, from another host."""
        plan = decide.decide(self._survey(work.order, jobs), on_change="fail")
        if plan.action == decide.KEEP and plan.cancel and plan.keep is not None:
            work.outcome.job = plan.keep
            work.outcome.cancelled += plan.cancel
            work.outcome.warnings.append(report.doubles(plan.cancel, plan.keep))
            self.watch.until_cancelled(plan.cancel)

    def _bring_to(self, state: str, works: list[Work], booted: str) -> list[Work]:
        """Wait for each; those that a controller forgot when it died are returned, to be made again."""
        jobs = [work.outcome.job for work in works if work.outcome.job is not None]
        wait = {"running": self.watch.until_running, "completed": self.watch.until_ended}.get(state)
        vanished = self._take(works, wait(jobs)) if wait is not None else []
        # Who asked to wait has seen old jobs just now.
        unsure = [work for work in works if work.open and not (_all_known(work) if wait is None else _old(work))]
        unsafe = self._confirm(unsure) if state != "completed" else []
        restarted = bool(vanished or unsafe) and self.client.boot_time() != booted
        # Without a restart a new job is not lost but over and forgotten in seconds (MinJobAge): it was made.
        lost = [*vanished, *unsafe] if restarted else vanished
        for work in lost:
            job = t.cast("Job", work.outcome.job)
            work.outcome.error = JobEndedError(report.forgotten(job), facts=job.facts())
        for work in works:
            if work.open and not _as_wanted(state, work.outcome):
                work.outcome.error = self._ended(work, "Running" if state == "running" else "Completing")
        return lost if restarted else []

    @staticmethod
    def _take(works: list[Work], watched: list[Watched]) -> list[Work]:
        for work, one in zip(works, watched):
            work.outcome.job, work.outcome.tasks, work.outcome.error = one.job, one.tasks, one.error
        return [work for work, one in zip(works, watched) if one.gone]

    def _confirm(self, works: list[Work]) -> list[Work]:
        """See the jobs once more, after the controller has saved its state: only then can it not lose them.

        The new ones that it does not know any more are returned.
        """
        new = [work for work in works if not _old(work)]
        if new and self.until_saved:
            comments = {work.order.spec.comment(work.order.key): work.before + 1 for work in new}
            self.watch.until_saved(comments, max(work.submitted_at or 0.0 for work in new))
        gone = self._read_again([work.outcome for work in works])
        return [work for work in works if not _old(work) and any(work.outcome is one for one in gone)]

    def _read_again(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The jobs with all their facts; those that the controller no longer knows are returned."""
        if not outcomes:
            return []
        found = decide.by_group(self.client.jobs([outcome.job.group for outcome in outcomes if outcome.job]))
        gone = []
        for outcome in outcomes:
            job = t.cast("Job", outcome.job)
            ours = [one for one in found.get(job.group, []) if one.comment == job.comment]
            if ours:
                outcome.job = decide.stand_in(ours)
                outcome.tasks = tuple(one for one in ours if one.array_task_id is not None)
            else:
                gone.append(outcome)
        return gone

    def _ended(self, work: Work, tried: str) -> SlurmError:
        job = t.cast("Job", work.outcome.job)
        secrets = secret_values(work.order.spec.environment)
        logs = {path: self.client.tail(path) for path in dict.fromkeys([job.stdout, job.stderr]) if path}
        log = report.log_tails(logs, secrets)
        return JobEndedError(report.ended(job, tried=tried, tasks=work.outcome.tasks, log=log), facts=job.facts())


def _old(work: Work) -> bool:
    """Whether the job was there before this run."""
    return work.submitted_at is None


def _all_known(work: Work) -> bool:
    """Whether the first look told all about the job."""
    job = work.outcome.job
    return _old(work) and job is not None and job.told_in_full


def _mark_done(work: Work, seen: Survey) -> None:
    if seen.succeeded:
        work.plan = decide.Plan(decide.DONE, keep=seen.succeeded[-1])


def _as_wanted(state: str, outcome: Outcome) -> bool:
    job = t.cast("Job", outcome.job)
    if state == "running":
        return job.live
    return state == "submitted" or all(one.succeeded for one in outcome.tasks or [job])
