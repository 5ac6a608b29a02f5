# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to Slurm: runs the commands, asks again while nobody answers, and hands on what they said."""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, parse
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import CommandError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed, Runner, run
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Backoff, Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec

# A restart of slurmctld takes seconds, one with a large state save a minute.
PATIENCE = 120.0
TAIL_BYTES = 32768

_NO_JSON = re.compile(r"serializer|data_parser|unrecognized option|invalid option|unknown option|json", re.IGNORECASE)
_NO_SUCH_JOB = re.compile(r"invalid job id", re.IGNORECASE)
_NO_ACCOUNTING = re.compile(r"accounting storage is disabled|accounting_storage/none", re.IGNORECASE)
# These say that the controller was not heard, not that it said no.
_NOT_HEARD = re.compile(
    r"timed out|unable to contact|connection (?:refused|reset|failure)|transport endpoint|zero bytes|communication|"
    r"temporarily unavailable|temporarily unable|standby|unexpected message|receive failure|send failure|no route|"
    r"not responding|rate limit|munge|authentication|configuration source|unspecified error",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Submission:
    """What sbatch answered. Without a job id and without a refusal, nobody knows what the controller did.

    `accepted` is the answer to a test, which makes no job.
    """

    job_id: int | None = None
    refused: bool = False
    accepted: bool = False
    complaint: str = ""


class SlurmClient:
    """One user's view of one cluster."""

    def __init__(
        self,
        tools: command.Tools,
        account: command.Account,
        inherited: Mapping[str, str],
        *,
        runner: Runner = run,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.tools = tools
        self.account = account
        self._base_environment = command.base_environment(account, inherited)
        self._read_environment = command.read_environment(account, inherited)
        self._run = runner
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._json_works = True

    def cluster_name(self) -> str:
        argv = command.scontrol_config(self.tools)
        answer = self._read(argv, "Reading the cluster's configuration")
        name = parse.cluster_name(answer.out)
        if not name:
            raise CommandError(
                "Reading the cluster's configuration failed: `scontrol show config` names no cluster. "
                "Set ClusterName in slurm.conf.",
                command=argv,
                rc=answer.rc,
                stderr=answer.err,
            )
        return name

    def jobs_named(self, name: str | None, user: str | None) -> list[Job]:
        """All jobs of this name and user (None: any) that the controller remembers, ended ones too."""
        what = f"Listing the jobs {name or ''} of {user or 'all users'}".replace("  ", " ")
        found = self._read_json(command.squeue_named_json(self.tools, name, user), what)
        if found is None:
            answer = self._read(command.squeue_named_text(self.tools, name, user), what)
            found = parse.jobs_from_squeue_text(answer.out)
        return found

    def poll(self, job_id: int) -> Job | None:
        """State, reason, nodes and expected start, as cheaply as can be; None when the controller knows no such job."""
        answer = self._read(command.squeue_job_text(self.tools, job_id), f"Asking for job {job_id}", known=_NO_SUCH_JOB)
        return _by_id(parse.jobs_from_squeue_text(answer.out), job_id)

    def job(self, job_id: int) -> Job | None:
        """Everything the controller knows about a job; None when it knows no such job."""
        what = f"Reading job {job_id}"
        found = self._read_json(command.scontrol_job_json(self.tools, job_id), what, known=_NO_SUCH_JOB)
        if found is None:
            answer = self._read(command.scontrol_job_text(self.tools, job_id), what, known=_NO_SUCH_JOB)
            found = parse.jobs_from_scontrol_text(answer.out)
        return _by_id(found, job_id)

    def recorded(self, job_id: int) -> Job | None:
        """What accounting knows about a job; None when it knows no such job or there is no accounting."""
        if not self.tools.sacct:
            return None
        found = self._accounting(lambda sacct, as_json: command.sacct_job(sacct, job_id, as_json=as_json))
        return _by_id(found, job_id)

    def recorded_named(self, name: str | None, user: str | None) -> list[Job]:
        """The jobs that accounting knows, oldest first; none when there is no accounting."""
        if not self.tools.sacct:
            return []
        return self._accounting(lambda sacct, as_json: command.sacct_named(sacct, name, user, as_json=as_json))

    def batch_script(self, job_id: int) -> str | None:
        """The script the controller keeps of a job, when it shows it to this user."""
        answer = self._run(command.scontrol_script(self.tools, job_id), self._read_environment)
        return answer.out if answer.rc == 0 else None

    def submit(self, spec: JobSpec, comment: str, script_path: str, *, test_only: bool = False) -> Submission:
        argv = command.sbatch(self.tools, spec, comment, script_path, test_only=test_only)
        environment, set_loader = command.apart_from_the_loader({**self._base_environment, **spec.environment})
        # sbatch tells the job where it was called (SLURM_SUBMIT_DIR), and many scripts go there.
        answer = self._run(self._as_user([*set_loader, *argv]), environment, cwd=spec.chdir)
        complaint = _without_prefix(answer.complaint)
        if answer.rc == 0 and test_only:
            return Submission(accepted=True, complaint=complaint)
        if answer.rc == 0:
            return Submission(job_id=parse.submitted_job_id(answer.out), complaint=complaint)
        return Submission(refused=answer.rc is not None and not _NOT_HEARD.search(answer.err), complaint=complaint)

    def cancel(self, job_ids: Sequence[int], name: str, user: str) -> None:
        """Ask for it. Whether it happened is for the caller to see: scancel's answer is no proof either way."""
        self._run(self._as_user(command.scancel(self.tools, job_ids, name, user)), self._base_environment)

    def tail(self, path: str) -> str | None:
        """The end of a log file, read with the rights of the job's user: the path may be anybody's link."""
        answer = self._run(self._as_user(command.tail(path, TAIL_BYTES)), self._base_environment)
        return answer.out if answer.rc == 0 else None

    def _as_user(self, argv: list[str]) -> list[str]:
        return command.as_user(argv, self.account.name, self.tools.runuser)

    def _accounting(self, argv: Callable[[str, bool], list[str]]) -> list[Job]:
        """Accounting may be down or absent, and nothing that matters may hang on it: one try, no patience."""
        sacct = t.cast(str, self.tools.sacct)
        if self._json_works:
            answer = self._run(argv(sacct, True), self._read_environment)
            if answer.rc == 0:
                try:
                    return parse.jobs_from_json(answer.out)
                except parse.ParseError:
                    pass
            elif _NO_ACCOUNTING.search(answer.err):
                return []
        answer = self._run(argv(sacct, False), self._read_environment)
        return parse.jobs_from_sacct_text(answer.out) if answer.rc == 0 else []

    def _read_json(self, argv: list[str], what: str, known: re.Pattern[str] | None = None) -> list[Job] | None:
        """The jobs of a JSON answer, or None when this Slurm gives none that can be read."""
        if not self._json_works:
            return None
        answer = self._read(argv, what, known=known, json_may_be_missing=True)
        if answer.rc == 0:
            try:
                return parse.jobs_from_json(answer.out)
            except parse.ParseError:
                pass
        if known and known.search(answer.err + answer.out):
            return []
        self._json_works = False
        return None

    def _read(
        self,
        argv: list[str],
        what: str,
        *,
        known: re.Pattern[str] | None = None,
        json_may_be_missing: bool = False,
    ) -> Completed:
        """Run a command that only looks until it answers: success, a failure that is `known`, or no JSON."""

        def look() -> Seen[Completed]:
            answer = self._run(argv, self._read_environment)
            settled = answer.rc == 0 or bool(known and known.search(answer.err + answer.out))
            no_json = json_may_be_missing and answer.rc is not None and bool(_NO_JSON.search(answer.err))
            return Seen(done=settled or no_json, value=answer)

        waiter = Waiter(
            look, timeout=self._patience, backoff=Backoff(first=0.5, most=5), clock=self._clock, sleep=self._sleep
        )
        try:
            return waiter.wait().value
        except WaitTimeoutError as timeout:
            last: Completed = timeout.last
            raise CommandError(
                f"{what} failed: {argv[0]} gave no answer for {timeout.seconds:.0f} seconds (last: {last.complaint}). "
                "Look at the controller with `scontrol ping` and at munge on this host, then run this task again.",
                command=argv,
                rc=last.rc,
                stderr=last.err,
            ) from timeout


def _by_id(jobs: list[Job], job_id: int) -> Job | None:
    return next((job for job in jobs if job_id in (job.job_id, job.group_id)), None)


def _without_prefix(complaint: str) -> str:
    return re.sub(r"\b(?:sbatch: )?error: |\bsbatch: ", "", complaint)
