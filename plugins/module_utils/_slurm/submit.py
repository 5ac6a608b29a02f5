# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes jobs once, although sbatch is no transaction.

sbatch may time out and the controller may have the job all the same; the controller may acknowledge a job and forget it
when it is killed in the next seconds. So no answer is taken as a no: the job is looked for by its key first. And an id
alone is no job yet: whoever waits for it sees whether the controller kept it.
"""

from __future__ import annotations

import threading
import time
import typing as t
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import OutcomeUnknownError, RefusedError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient, Submission
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec

ATTEMPTS = 3
# Much of an sbatch is waiting for slurmctld.
AT_ONCE = 8
# After an unclear answer the controller may still be working through what it was sent before.
SECONDS_TO_APPEAR = 6.0


@dataclass(frozen=True)
class Order:
    """One job that shall be: what it is, the key that follows from that, and where its script lies."""

    spec: JobSpec
    key: str
    script_path: str

    @property
    def name(self) -> str:
        return self.spec.name

    def made(self, job: Job) -> bool:
        return job.owner == self.name and job.key == self.key and job.user == self.spec.user

    def unseen(self, job_id: int) -> Job:
        """A job that sbatch gave the id of and that no list shows yet."""
        return Job(job_id, self.name, self.spec.user, state="PENDING", comment=self.spec.comment(self.key))


@dataclass
class Submitter:
    """Submits orders of one user. `known` are the ids that carried their keys before."""

    client: SlurmClient
    known: frozenset[int]
    at_once: int = AT_ONCE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    made: dict[str, Job] = field(default_factory=dict)
    errors: dict[str, SlurmError] = field(default_factory=dict)

    def submit(self, orders: Sequence[Order]) -> list[Job]:
        """Fill `made` and `errors` by name; return the jobs of all orders, each as it was seen last.

        Answers that are clear are looked after in one go. After an unclear one the rest waits for a look: with the
        controller away, each further sbatch would only wait for its own time to run out.
        """
        seen: dict[int, Job] = {}
        tries: Counter[str] = Counter()
        queue = list(orders)
        while queue:
            answers, queue = self._ask(queue)
            tries.update(order.name for order, _answer in answers)
            seen.update((job.job_id, job) for job in self._look(answers))
            again = []
            for order, answer in answers:
                if order.name in self.made:
                    continue
                if answer.refused:
                    self.errors[order.name] = _refused(order, answer)
                elif tries[order.name] >= ATTEMPTS:
                    self.errors[order.name] = _unknown(order, answer)
                else:
                    again.append(order)
            queue = again + queue
        return list(seen.values())

    def _ask(self, orders: Sequence[Order]) -> tuple[list[tuple[Order, Submission]], list[Order]]:
        """The answers, in order, and what was not asked for after an unclear one."""
        unclear = threading.Event()

        def ask(order: Order) -> Submission | None:
            if unclear.is_set():
                return None
            answer = self.client.submit(order.spec, order.spec.comment(order.key), order.script_path)
            if not answer.clear:
                unclear.set()
            return answer

        if len(orders) == 1:
            answers = [ask(orders[0])]
        else:
            with ThreadPoolExecutor(min(self.at_once, len(orders))) as pool:
                answers = list(pool.map(ask, orders))
        asked = [(order, answer) for order, answer in zip(orders, answers) if answer is not None]
        return asked, [order for order, answer in zip(orders, answers) if answer is None]

    def _look(self, answers: Sequence[tuple[Order, Submission]]) -> list[Job]:
        """Find the new jobs by their keys; a job that is over already counts, it was made.

        A refusal gets a look too: sbatch reports some failures of its own as if the controller had spoken. There was no
        live job of these keys before, so a live one is new even if its id is not: a controller that was killed gives
        the ids of the jobs that it forgot again. What slurmctld turned away is no job, unless sbatch gave its id.
        """
        orders = [order for order, _answer in answers]
        given = {answer.job_id for _order, answer in answers}
        hoped_for = {order.name for order, answer in answers if not answer.refused}

        def look() -> Seen[list[Job]]:
            jobs = self.client.jobs_named([order.name for order in orders], orders[0].spec.user)
            new = sorted(
                (
                    job
                    for job in jobs
                    if (job.live or job.job_id not in self.known) and (not job.turned_away or job.job_id in given)
                ),
                key=lambda job: (not job.live, job.submit_time or 0, job.job_id),
            )
            for order in orders:
                job = next((job for job in new if order.made(job)), None)
                if job is not None:
                    self.made[order.name] = job
            return Seen(done=hoped_for <= self.made.keys(), value=jobs)

        waiter = Waiter(look, timeout=SECONDS_TO_APPEAR, interval=1.0, clock=self.clock, sleep=self.sleep)
        try:
            return waiter.wait().value
        except WaitTimeoutError as timeout:
            for order, answer in answers:
                if answer.job_id is not None and order.name not in self.made:
                    self.made[order.name] = order.unseen(answer.job_id)
            return t.cast("list[Job]", timeout.last)


def _refused(order: Order, answer: Submission) -> RefusedError:
    return RefusedError(
        f"Submitting the job {order.name} of {order.spec.user} failed: {answer.complaint}. "
        "Correct its options or its script, then run this task again."
    )


def _unknown(order: Order, answer: Submission) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"Submitting the job {order.name} of {order.spec.user} failed: {ATTEMPTS} times there was no clear "
        f"answer (last: {answer.complaint}), and no job with the key {order.key} is to be seen. "
        "Look at the controller with `scontrol ping`, then run this task again: it looks for the job first."
    )
