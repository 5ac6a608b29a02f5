# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of things: look, decide, act, wait. One run of the module slurm_job."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, describe, report
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import (
    ChangeRefusedError,
    JobEndedError,
    OutcomeUnknownError,
    RefusedError,
    SlurmError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask, secret_values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import Submitter

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.decide import Plan, Survey
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import JobWatch


@dataclass
class Outcome:
    """What a run did, or in check mode would do."""

    changed: bool = False
    job: Job | None = None
    replaced_job_id: int | None = None
    cancelled: tuple[Job, ...] = ()
    foreign: tuple[Job, ...] = ()
    diff: dict[str, str] | None = None
    message: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass
class JobManager:
    """Brings the jobs of one name and user to what is wanted."""

    client: SlurmClient
    watch: JobWatch
    check_mode: bool
    lock: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def absent(self, name: str, user: str) -> Outcome:
        """No job of ours of this name, whatever its key."""
        with self.lock():
            seen = decide.survey(self.client.jobs_named(name, user), name=name, user=user, key=None)
            outcome = _outcome(seen)
            ours = seen.ours
            if not ours:
                outcome.message = f"There is no job {name} of {user} to cancel."
                return outcome
            outcome.changed = True
            outcome.job = decide.by_merit(ours)[0]
            outcome.cancelled = ours
            before = {"jobs": "\n".join(f"{report.title(job)}: {job.state}" for job in ours)}
            outcome.diff = describe.as_diff(describe.compare(before, {}), f"jobs {name} of {user}", "absent")
            outcome.message = f"{'Would cancel' if self.check_mode else 'Cancelled'} {_titles(ours)}."
            if not self.check_mode:
                self.watch.until_cancelled(ours)
                outcome.job = self.client.job(outcome.job.job_id) or outcome.job
        return outcome

    def present(self, spec: JobSpec, key: str, script_path: str, *, state: str, on_change: str) -> Outcome:
        """The job as `spec` says, brought as far as `state` (submitted, running, completed)."""
        secrets = secret_values(spec.environment)
        with self.lock():
            seen = self._look(spec, key)
            plan = decide.decide(seen, on_change=on_change)
            outcome = _outcome(seen)
            done = (
                self._completed_before(spec, key, seen) if state == "completed" and plan.action != decide.KEEP else None
            )
            if done is not None:
                outcome.job = done
                outcome.message = f"It has been completed before, by {report.title(done)}."
                return outcome
            self._apply(plan, outcome, spec, key, script_path)
        if self.check_mode or outcome.job is None:
            return outcome
        try:
            self._bring_to(state, outcome, secrets)
        except SlurmError as error:
            error.facts["changed"] = outcome.changed
            raise
        return outcome

    def _look(self, spec: JobSpec, key: str) -> Survey:
        return decide.survey(self.client.jobs_named(spec.name, spec.user), name=spec.name, user=spec.user, key=key)

    def _completed_before(self, spec: JobSpec, key: str, seen: Survey) -> Job | None:
        """A job of this key that has done its work: from the controller's memory, else from accounting."""
        if seen.other:
            return None
        if seen.succeeded:
            return seen.succeeded[-1]
        recorded = self.client.recorded_named(spec.name, spec.user)
        past = decide.survey(recorded, name=spec.name, user=spec.user, key=key).succeeded
        return past[-1] if past else None

    def _apply(self, plan: Plan, outcome: Outcome, spec: JobSpec, key: str, script_path: str) -> None:
        if plan.action == decide.KEEP:
            self._keep(t.cast("Job", plan.keep), plan.cancel, outcome)
            return
        secrets = secret_values(spec.environment)
        verb = "would be" if self.check_mode else "was"
        wanted = describe.wanted_parts(spec)
        old = plan.keep
        if old is None:
            outcome.diff = describe.as_diff(describe.compare({}, wanted), "no job", f"job {spec.name}", secrets)
            outcome.message = f"The job {spec.name} {verb} submitted."
        else:
            full = self.client.job(old.job_id) or old
            tracker = describe.compare_live(self._live_parts(full), wanted)
            diff = describe.as_diff(tracker, report.title(old), f"job {spec.name} as wanted", secrets)
            differs = ", ".join(tracker.names)
            if plan.action == decide.REFUSE:
                raise ChangeRefusedError(report.change_refused(old), facts={**full.facts(), "diff": diff})
            if plan.action == decide.LEAVE:
                outcome.job = full
                outcome.message = f"{report.subject(old)} differs in {differs} and is left as it is: on_change is keep."
                return
            outcome.diff = diff
            outcome.message = f"{report.subject(old)} differs in {differs} and {verb} replaced."
            outcome.replaced_job_id = old.job_id
            outcome.cancelled = plan.cancel
        outcome.changed = True
        accepted = self._ask_whether_accepted(spec, key, script_path) if self.check_mode or old else ""
        if self.check_mode:
            outcome.message = f"{outcome.message} Slurm would accept it: {accepted}."
            return
        self.watch.until_cancelled(plan.cancel)
        self._submit(outcome, spec, key, script_path)

    def _live_parts(self, job: Job) -> dict[str, str]:
        submit_line = job.submit_line
        if not submit_line:
            # The controller of 24.11 does not tell it, accounting does.
            recorded = self.client.recorded(job.job_id)
            submit_line = recorded.submit_line if recorded else ""
        return describe.live_parts(job.chdir, submit_line, self.client.batch_script(job.job_id))

    def _keep(self, keep: Job, surplus: tuple[Job, ...], outcome: Outcome) -> None:
        outcome.job = keep
        outcome.message = f"{report.subject(keep)} is as wanted."
        if surplus:
            outcome.changed = True
            outcome.cancelled = surplus
            outcome.warnings.append(report.doubles(surplus, keep))
            if not self.check_mode:
                self.watch.until_cancelled(surplus)

    def _ask_whether_accepted(self, spec: JobSpec, key: str, script_path: str) -> str:
        """Asked before a live job is cancelled too: a service is not taken down for a job that Slurm refuses."""
        answer = self.client.submit(spec, spec.comment(key), script_path, test_only=True)
        if answer.refused:
            raise RefusedError(
                f"Testing the submission of the job {spec.name} of {spec.user} failed: {answer.complaint}. "
                "Nothing was changed. Correct its options or its script, then run this task again."
            )
        if not answer.accepted:
            raise OutcomeUnknownError(
                f"Testing the submission of the job {spec.name} of {spec.user} failed: {answer.complaint}. "
                "Nothing was changed. Look at the controller with `scontrol ping`, then run this task again."
            )
        return report.readable_start(mask(answer.complaint))

    def _submit(self, outcome: Outcome, spec: JobSpec, key: str, script_path: str) -> None:
        known = frozenset(
            job.job_id
            for job in self.client.jobs_named(spec.name, spec.user)
            if job.owner == spec.name and job.key == key
        )
        submitter = Submitter(self.client, spec, key, known, clock=self.clock, sleep=self.sleep)
        outcome.job = submitter.submit(script_path)
        # Somebody else may have submitted the same job in the same moment, from another host.
        again = decide.decide(self._look(spec, key), on_change="fail")
        if again.action == decide.KEEP and again.cancel:
            self._keep(t.cast("Job", again.keep), again.cancel, outcome)

    def _bring_to(self, state: str, outcome: Outcome, secrets: list[str]) -> None:
        job = t.cast("Job", outcome.job)
        if state == "submitted":
            outcome.job = self.client.job(job.job_id) or job
            return
        if state == "running":
            job = self.watch.until_running(job)
            if not job.live:
                raise self._ended(job, "Running", secrets)
        else:
            job = self.watch.until_ended(job)
            if not job.succeeded:
                raise self._ended(job, "Completing", secrets)
        outcome.job = job

    def _ended(self, job: Job, tried: str, secrets: list[str]) -> JobEndedError:
        logs = {path: self.client.tail(path) for path in dict.fromkeys([job.stdout, job.stderr]) if path}
        message = report.ended(job, tried=tried, log=report.log_tails(logs, secrets))
        return JobEndedError(message, facts=job.facts())


def _outcome(seen: Survey) -> Outcome:
    outcome = Outcome(foreign=seen.foreign)
    if seen.foreign:
        outcome.warnings.append(report.foreign(seen.foreign))
    return outcome


def _titles(jobs: tuple[Job, ...]) -> str:
    return ", ".join(report.title(job) for job in jobs)
