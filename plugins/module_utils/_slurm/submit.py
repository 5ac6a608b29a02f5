# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a job once, although sbatch is no transaction.

sbatch may time out and the controller may have the job all the same; the controller may acknowledge a job and forget it
when it is killed in the next seconds. So no answer is taken as a no: the job is looked for by its key first. And no
answer is taken as a yes: the job has to be there when the controller has saved its state.
"""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import OutcomeUnknownError, RefusedError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient, Submission
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec

ATTEMPTS = 3
# After an unclear answer the controller may still be working through what it was sent before.
SECONDS_TO_APPEAR = 6.0
# slurmctld writes its jobs down at most every 6 seconds. One that is killed before that forgets what it acknowledged.
SECONDS_TO_SAVE = 7.0

# The next job gets the id of a lost one. A node that still has to end the lost one would refuse the new one with it
# ("already killed"), and it hears of the loss some seconds after the controller is back.
SECONDS_TO_ABORT = 5.0


@dataclass
class Submitter:
    """Submits `spec` under `key`. `known` are the ids that carried this key before.

    `settle` is how long a new job has to stay before it counts; 0 takes the controller's first word for it.
    """

    client: SlurmClient
    spec: JobSpec
    key: str
    known: frozenset[int]
    settle: float = SECONDS_TO_SAVE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def submit(self, script_path: str) -> Job:
        """The one new job, or RefusedError, or OutcomeUnknownError when nobody can say."""
        complaint = ""
        for _attempt in range(ATTEMPTS):
            booted = self.client.boot_time()
            answer = self.client.submit(self.spec, self.spec.comment(self.key), script_path)
            # A refusal gets a look too: sbatch reports some failures of its own as if the controller had spoken.
            found = self._look(patience=0 if answer.refused else SECONDS_TO_APPEAR) or self._acknowledged(answer)
            kept = self._kept(found, booted) if found else None
            if kept:
                return kept
            if answer.refused and not found:
                raise RefusedError(
                    f"Submitting the job {self.spec.name} of {self.spec.user} failed: {answer.complaint}. "
                    "Correct its options or its script, then run this task again."
                )
            complaint = answer.complaint
            if found:
                complaint = f"job {found.job_id} was taken and then lost"
                self.sleep(SECONDS_TO_ABORT)
        raise OutcomeUnknownError(
            f"Submitting the job {self.spec.name} of {self.spec.user} failed: {ATTEMPTS} times there was no clear "
            f"answer (last: {complaint}), and no job with the key {self.key} is to be seen. "
            "Look at the controller with `scontrol ping`, then run this task again: it looks for the job first."
        )

    def _acknowledged(self, answer: Submission) -> Job | None:
        """A job that sbatch gave the id of and that no list shows."""
        if answer.job_id is None:
            return None
        comment = self.spec.comment(self.key)
        return Job(answer.job_id, self.spec.name, self.spec.user, state="PENDING", comment=comment)

    def _kept(self, found: Job, booted: int | None) -> Job | None:
        """The job once the controller has written it down; None when a controller that died has lost it.

        A controller that runs on loses nothing. What it no longer shows has ended, and the caller learns how.
        """
        if not found.live or not self.settle:
            return found

        def look() -> Seen[None]:
            now = self.client.poll(found.job_id)
            return Seen(done=now is not None and now.comment == found.comment and not now.live, value=None)

        with contextlib.suppress(WaitTimeoutError):
            Waiter(look, timeout=self.settle, interval=1.0, clock=self.clock, sleep=self.sleep).wait()
        seen = self._look(patience=0)
        return seen or (found if self.client.boot_time() == booted else None)

    def _look(self, *, patience: float) -> Job | None:
        """The new job with our key; a job that is over already counts, it was made.

        There was no live one before, so a live one is new even if its id is not: a controller that was killed gives
        the ids of the jobs it forgot again.
        """

        def look() -> Seen[Job | None]:
            jobs = self.client.jobs_named(self.spec.name, self.spec.user)
            ours = [job for job in jobs if job.owner == self.spec.name and job.key == self.key]
            new = [job for job in ours if job.live or job.job_id not in self.known]
            new.sort(key=lambda job: (not job.live, job.submit_time or 0, job.job_id))
            return Seen(done=bool(new), value=new[0] if new else None)

        try:
            waiter = Waiter(look, timeout=patience, interval=1.0, clock=self.clock, sleep=self.sleep)
            return waiter.wait().value
        except WaitTimeoutError:
            return None
