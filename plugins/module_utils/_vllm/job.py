# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one tie to Slurm: what became of the engine's job."""

from __future__ import annotations

import os
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


def job_looker(module: AnsibleModule, job_id: int, secrets: list[str]) -> Callable[[], JobSeen]:
    """A function that tells, each time it is called, where in its life the job is."""
    try:
        account = find_account(None)
        client = SlurmClient(find_tools(module, account), account, os.environ, patience=PATIENCE)
    except SlurmError as error:
        raise HealthError(message=str(error)) from error
    return JobLooker(client, job_id, secrets)


class JobLooker:
    """Slurm not answering is not an answer: the job may run well, and the engine itself is asked all the same."""

    def __init__(self, client: SlurmClient, job_id: int, secrets: list[str]) -> None:
        self._client = client
        self._job_id = job_id
        self._secrets = secrets
        self._blanks = 0

    def __call__(self) -> JobSeen:
        try:
            job = self._client.poll(self._job_id)
            if job is None or not job.live:
                job = self._client.job(self._job_id) or self._client.recorded(self._job_id) or job
        except CommandError as error:
            return JobSeen("unknown", str(error))
        if job is None:
            return self._blank()
        self._blanks = 0
        if not job.live:
            return self._ended(job)
        if job.phase in (states.QUEUED, states.STARTING):
            reason = f" (Slurm's reason: {job.reason})" if job.reason else ""
            return JobSeen("pending", f"{report.title(job)} is {job.state}{reason}")
        return JobSeen("running", f"{report.title(job)} is {job.state}")

    def _blank(self) -> JobSeen:
        """One empty answer is no proof that a job is gone, and accounting is late."""
        self._blanks += 1
        detail = f"Slurm does not know job {self._job_id}, nor does its accounting"
        return JobSeen("ended" if self._blanks >= BLANKS else "unknown", detail)

    def _ended(self, job: Job) -> JobSeen:
        paths = [path for path in dict.fromkeys([job.stdout, job.stderr]) if path]
        log = report.log_tails({path: self._client.tail(path) for path in paths}, self._secrets)
        how = states.ending_in_words(job.state, job.exit_code, job.signal)
        return JobSeen("ended", f"{report.title(job)} ended as {how}", log=log)
