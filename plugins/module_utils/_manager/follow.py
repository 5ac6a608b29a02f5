# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the queue to the first answer, with words for whoever waits. The ladder is that of the module vllm_health."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    KEY,
    NOT_READY,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import (
    Progress,
    read_progress,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import for_people, span
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import Locate
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.watch import Found, wait_ready
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

Tell = Callable[[str, str], None]
# Logs are read no oftener than this, however often the engine is asked.
LOG_SECONDS = 1.0
BLANKS = 3


class TellingLadder(Ladder):
    """Tells after each look how far the engine is, by its log where its port says nothing yet."""

    def __init__(
        self,
        locate: Locate,
        target: Target,
        job: Callable[[], JobSeen] | None,
        *,
        logs: Callable[[], t.Sequence[str]],
        tell: Callable[[Progress, Verdict], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(locate, target, job, clock)
        self._logs = logs
        self._tell = tell
        self._now = clock
        self._progress = Progress("starting")
        self._read_at: float | None = None

    def look(self, budget: float, patience: float | None = None) -> Verdict:
        verdict = super().look(budget, patience)
        if verdict.state in ("starting", "loading", "unreachable"):
            if self._read_at is None or self._now() - self._read_at >= LOG_SECONDS:
                self._read_at = self._now()
                self._progress = read_progress(*self._logs())
            self._tell(self._progress, verdict)
        return verdict


@dataclass
class Follow:
    """`tell` gets the words of the moment, and the stage that they are about."""

    client: SlurmClient
    name: str
    tell: Tell
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def until_started(self, job: Job, timeout: float | None) -> Job:
        """Until it has left the queue, whatever comes then."""
        blanks = 0
        last = job

        def look() -> Seen[Job]:
            nonlocal blanks, last
            seen = self.client.poll(job.job_id)
            if seen is None:
                # One empty answer is no proof; after some, whoever looks next will see what became of it.
                blanks += 1
                return Seen(done=blanks >= BLANKS, value=last)
            blanks, last = 0, seen
            if seen.phase not in (states.QUEUED, states.STARTING):
                return Seen(done=True, value=seen)
            self.tell(f"{self.name}: {waiting_words(seen, self.now())}", f"{seen.phase} {seen.reason}")
            return Seen(done=states.hopeless(seen.state, seen.reason), value=seen)

        try:
            return Waiter(look, timeout=timeout, interval=1.0, clock=self.clock, sleep=self.sleep).wait().value
        except WaitTimeoutError as error:
            raise ManagerError(
                f"Waiting for {self.name} failed: after {span(error.seconds)} job {job.job_id} is "
                f"{waiting_words(last, self.now())}. It stays in the queue: `vllm-manager status`.",
                NOT_READY,
                facts={"job_id": job.job_id, "state": "queued"},
            ) from error

    def until_ready(self, ladder: Ladder, target: Target, job_id: int, timeout: float) -> Found:
        limits = {"timeout": timeout, "interval": 1.0, "passes": 1}
        try:
            return wait_ready(ladder, target, name=f"job {job_id}", clock=self.clock, sleep=self.sleep, **limits)  # type: ignore[arg-type]
        except HealthError as error:
            raise ManagerError(
                self._why(error), exit_of(error.facts), facts={"job_id": job_id, **error.facts}
            ) from error

    def _why(self, error: HealthError) -> str:
        if error.facts.get("state") == "job_failed":
            return f"Serving {self.name} failed: {error.facts.get('detail')}."
        return for_people(_without_log(error))


def _without_log(error: HealthError) -> str:
    """The sentence alone: doctor shows the line that matters."""
    log = str(error.facts.get("log") or "")
    return error.message.removesuffix(log) if log else error.message


def exit_of(facts: dict[str, t.Any]) -> Exit:
    state = facts.get("state")
    if state == "auth_error":
        return KEY
    return NOT_READY if state in ("pending", "starting", "loading") else FAILED


def waiting_words(job: Job, now: float) -> str:
    """Why it waits, and how long that is expected to take."""
    if job.phase == states.STARTING:
        return f"starting: its node {job.nodes} gets ready"
    words = f"queued ({job.reason})" if job.reason else "queued"
    if job.start_time is not None and job.start_time > now:
        words += f", expected to start in {span(job.start_time - now)}"
    return words
