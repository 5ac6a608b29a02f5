# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will be done to each job, said before it is done: message, difference, and whether Slurm would take it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, describe, report
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import (
    ChangeRefusedError,
    OutcomeUnknownError,
    RefusedError,
    SlurmError,
    raise_together,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask, secret_values

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.decide import Plan
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import Order


@dataclass
class Work:
    """One job on its way.

    `submitted_at` when this run made it (seconds since 1970); there were `before` jobs of its key already.
    """

    order: Order
    plan: Plan
    outcome: Outcome
    submitted_at: float | None = None
    before: int = 0

    @property
    def open(self) -> bool:
        return self.outcome.error is None and self.outcome.job is not None


class Changes:
    """Fills the outcomes of planned work."""

    def __init__(self, client: SlurmClient, *, check_mode: bool) -> None:
        self._client = client
        self._check_mode = check_mode
        self._verb = "would be" if check_mode else "was"

    def foresee(self, works: Sequence[Work]) -> None:
        """Every outcome as it will be, or one error for all that stands against any of them."""
        say = {
            decide.DONE: self._done,
            decide.KEEP: self._keep,
            decide.LEAVE: self._leave,
            decide.REFUSE: self._refuse,
            decide.REPLACE: self._replace,
            decide.SUBMIT: self._submit,
        }
        errors: list[SlurmError] = []
        for work in works:
            try:
                say[work.plan.action](work)
            except (ChangeRefusedError, RefusedError, OutcomeUnknownError) as error:
                errors.append(error)
        raise_together(errors)

    def _done(self, work: Work) -> None:
        job = work.outcome.job = _job(work)
        work.outcome.message = f"It has been completed before, by {job.title}."

    def _keep(self, work: Work) -> None:
        job = _job(work)
        work.outcome.keep(job)
        if work.plan.cancel:
            work.outcome.changed = True
            work.outcome.cancelled = work.plan.cancel
            work.outcome.warnings.append(report.doubles(work.plan.cancel, job))

    def _submit(self, work: Work) -> None:
        wanted = describe.wanted_parts(work.order.spec)
        secrets = secret_values(work.order.spec.environment)
        name = work.order.name
        work.outcome.diff = describe.as_diff(describe.compare({}, wanted), "no job", f"job {name}", secrets)
        work.outcome.message = f"The job {name} {self._verb} submitted."
        work.outcome.changed = True
        if self._check_mode:
            self._ask(work)

    def _replace(self, work: Work) -> None:
        old, differs, diff = self._difference(work)
        work.outcome.diff = diff
        work.outcome.message = f"{old.subject} differs in {differs} and {self._verb} replaced."
        work.outcome.replaced_job_id = old.group
        work.outcome.cancelled = work.plan.cancel
        work.outcome.changed = True
        # A service is not taken down for a job that Slurm refuses.
        self._ask(work)

    def _leave(self, work: Work) -> None:
        old, differs, _diff = self._difference(work)
        work.outcome.job = old
        work.outcome.message = f"{old.subject} differs in {differs} and is left as it is: on_change is keep."

    def _refuse(self, work: Work) -> None:
        old, differs, diff = self._difference(work)
        raise ChangeRefusedError(report.change_refused(old, differs), facts={**old.facts(), "diff": diff})

    def _difference(self, work: Work) -> tuple[Job, str, dict[str, str]]:
        """The live job with all its facts, in what it differs, and the diff."""
        job = _job(work)
        old = next((one for one in self._client.jobs([job.group]) if one.job_id == job.job_id), job)
        submit_line = old.submit_line
        if not submit_line:
            # The controller of 24.11 does not tell it, accounting does.
            recorded = self._client.recorded(old.job_id)
            submit_line = recorded.submit_line if recorded else ""
        live = describe.live_parts(old.chdir, submit_line, self._client.batch_script(old.job_id))
        tracker = describe.compare_live(live, describe.wanted_parts(work.order.spec))
        secrets = secret_values(work.order.spec.environment)
        diff = describe.as_diff(tracker, old.title, f"job {work.order.name} as wanted", secrets)
        return old, ", ".join(tracker.names), diff

    def _ask(self, work: Work) -> None:
        accepted = ask_whether_accepted(self._client, work.order)
        if self._check_mode:
            work.outcome.message = f"{work.outcome.message} Slurm would accept it: {accepted}."


def ask_whether_accepted(client: SlurmClient, order: Order) -> str:
    answer = client.test(order.spec, order.spec.comment(order.key), order.script_path)
    failed = f"Testing the submission of the job {order.name} of {order.spec.user} failed: {answer.complaint}. "
    if answer.refused:
        raise RefusedError(f"{failed}No job was changed. Correct its options or its script, then run this task again.")
    if not answer.accepted:
        raise OutcomeUnknownError(
            f"{failed}No job was changed. Look at the controller with `scontrol ping`, then run this task again."
        )
    return report.readable_start(mask(answer.complaint))


def _job(work: Work) -> Job:
    return t.cast("Job", work.plan.keep)
