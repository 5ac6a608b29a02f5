# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one tie to Slurm: what became of the engine's job, asked without ever making the engine wait for the answer."""

from __future__ import annotations

import os
import threading
import time
import typing as t
from collections.abc import Callable

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import report, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.connect import find_account, find_tools
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import CommandError, SlurmError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

# The ladder comes back every other second, so the client need not insist.
PATIENCE = 1.0
BLANKS = 3
# An answer takes tens of milliseconds. A frozen controller gives none, and the engine is asked without.
FIRST_ANSWER_SECONDS = 5.0
ANSWER_SECONDS = 0.3
# For so long an old answer stands in for one that does not come.
STALE_SECONDS = 15.0

Tail = Callable[[str, str], "str | None"]


def job_looker(module: AnsibleModule, job_id: int, secrets: list[str]) -> Callable[[], JobSeen]:
    """A function that tells, each time it is called, where in its life the job is."""

    try:
        me = find_account(None)
        tools = find_tools(module, me)
    except SlurmError as error:
        raise HealthError(message=str(error)) from error
    runuser = module.get_bin_path("runuser")

    def tail(path: str, user: str) -> str | None:
        """With the rights of the job's user: the path may be their link to anything."""
        try:
            account = find_account(user)
        except SlurmError:
            return None
        if account.name != me.name and runuser is None:
            return None
        its_tools = tools._replace(runuser=runuser if account.name != me.name else None)
        return SlurmClient(its_tools, account, os.environ, patience=PATIENCE).tail(path)

    client = SlurmClient(tools, me, os.environ, patience=PATIENCE)
    return InBackground(JobLooker(client, job_id, secrets, tail))


class JobLooker:
    """Slurm not answering is not an answer: the job may run well, and the engine itself is asked all the same."""

    def __init__(self, client: SlurmClient, job_id: int, secrets: list[str], tail: Tail) -> None:
        self._client = client
        self._job_id = job_id
        self._secrets = secrets
        self._tail = tail
        self._blanks = 0

    def __call__(self) -> JobSeen:
        try:
            job = self._client.poll(self._job_id)
            if job is None or job.phase in (states.ENDING, states.GONE):
                # squeue says COMPLETING of a job that has ended and of one that goes back into the queue, for a minute
                # and more when its node is slow to clean up; scontrol tells the two apart.
                job = self._client.job(self._job_id) or self._client.recorded(self._job_id) or job
        except CommandError as error:
            return JobSeen("unknown", str(error))
        except OSError as error:
            # The command itself is away, as in the middle of an upgrade.
            return JobSeen("unknown", f"Asking for job {self._job_id} failed: {error.strerror}")
        if job is None:
            return self._blank()
        self._blanks = 0
        if not job.live:
            return self._ended(job)
        if job.phase in (states.QUEUED, states.STARTING):
            hopeless = states.hopeless(job.state, job.reason)
            reason = f" (Slurm's reason: {job.reason})" if job.reason else ""
            never = " and can never start" if hopeless else ""
            return JobSeen("pending", f"{job.title} is {job.state}{reason}{never}", hopeless=hopeless)
        host = job.batch_host or job.nodes
        return JobSeen("running", f"{job.title} is {job.state}", host=host, started=job.start_time)

    def _blank(self) -> JobSeen:
        """One empty answer is no proof that a job is gone, and accounting is late."""
        self._blanks += 1
        detail = f"Slurm does not know job {self._job_id}, nor does its accounting"
        return JobSeen("ended" if self._blanks >= BLANKS else "unknown", detail)

    def _ended(self, job: Job) -> JobSeen:
        paths = [path for path in dict.fromkeys([job.stdout, job.stderr]) if path]
        log = report.log_tails({path: self._tail(path, job.user) for path in paths}, self._secrets)
        how = states.ending_in_words(job.state, job.exit_code, job.signal)
        return JobSeen("ended", f"{job.title} ended as {how}", log=log)


class InBackground:
    """Asks in a thread, and answers in time: with what is new, else with what was last heard, else that it is unknown.

    Slurm's commands wait ten seconds and more for a controller that is frozen. An engine that becomes ready meanwhile
    is to be seen within one.
    """

    def __init__(self, ask: Callable[[], JobSeen], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._answers: list[JobSeen] = []
        self._thread: threading.Thread | None = None
        self._last: JobSeen | None = None
        self._heard = 0.0

    def __call__(self) -> JobSeen:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._thread.join(ANSWER_SECONDS if self._last else FIRST_ANSWER_SECONDS)
        if not self._thread.is_alive():
            self._thread = None
            self._heard = self._clock()
            self._last = self._answers.pop() if self._answers else JobSeen("unknown", "Asking Slurm failed")
        elif self._last is None or self._clock() - self._heard > STALE_SECONDS:
            self._last = JobSeen("unknown", "Slurm gives no answer; look at the controller with `scontrol ping`")
        return self._last

    def _work(self) -> None:
        self._answers.append(self._ask())
