# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to Slurm: runs the commands, asks again while nobody answers, and hands on what they said."""

from __future__ import annotations

import os
import re
import time
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, parse
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import CommandError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed, Runner, run

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec
    from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen

# A restart of slurmctld takes seconds, one with a large state save a minute.
PATIENCE = 120.0
TAIL_BYTES = 32768
# The nodes tell a controller that has just started of themselves in some five seconds (seen with 24.11.5).
SECONDS_TO_REGISTER = 10.0
# Records of jobs that never ended stay in accounting when a controller forgot the job.
MOST_OPINIONS = 10

_NO_JSON = r"(?i)serializer|data_parser|unrecognized option|invalid option|unknown option|json"
_NO_SUCH_JOB = r"(?i)invalid job id"
# Said of a job of salloc or srun, and of one that has just ended.
_NO_SCRIPT = r"(?i)job script not specified|invalid job id"
_NO_ACCOUNTING = r"(?i)accounting storage is disabled|accounting_storage/none"
_NO_SUCH_NODES = r"(?i)requested node configuration is not available"
# These say that the controller was not heard, not that it said no.
_NOT_HEARD = (
    r"(?i)timed out|unable to contact|connection (?:refused|reset|failure)|transport endpoint|zero bytes|communication|"
    r"temporarily unavailable|temporarily unable|standby|unexpected message|receive failure|send failure|no route|"
    r"not responding|rate limit|munge|authentication|configuration source|unspecified error"
)


class Submission(t.NamedTuple):
    """What sbatch answered. Without a job id and without a refusal, nobody knows what the controller did.

    `accepted` is the answer to a test, which makes no job.
    """

    job_id: int | None = None
    refused: bool = False
    accepted: bool = False
    complaint: str = ""

    @property
    def clear(self) -> bool:
        return self.job_id is not None or self.refused


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
        self._accounting_answers = True
        self._known_configuration: Completed | None = None
        self._state_file: str | None = None

    def cluster_name(self) -> str:
        answer = self._configuration()
        name = parse.cluster_name(answer.out)
        if not name:
            raise CommandError(
                "Reading the cluster's configuration failed: `scontrol show config` names no cluster. "
                "Set ClusterName in slurm.conf.",
                command=list(answer.argv),
                rc=answer.rc,
                stderr=answer.err,
            )
        return name

    def boot_time(self, *, now: bool = True) -> str:
        """Tells one life of the controller from another: a job that is gone without one was forgotten, not lost.

        Unless asked for `now`, what was read before will do.
        """
        known = None if now else self._known_configuration
        return parse.boot_time((known or self._configuration()).out)

    def state_saved_at(self) -> float | None:
        """When the controller last saved its jobs; None where that cannot be seen (not its host, not its user)."""
        try:
            return os.stat(self._state_path()).st_mtime
        except OSError:
            return None

    def saved_state(self) -> bytes:
        """The file in which the controller keeps its jobs, comments in plain text; empty where it cannot be read."""
        try:
            with open(self._state_path(), "rb") as handle:
                return handle.read()
        except OSError:
            return b""

    def _state_path(self) -> str:
        if self._state_file is None:
            self._state_file = parse.state_file((self._known_configuration or self._configuration()).out) or ""
        return self._state_file

    def _configuration(self) -> Completed:
        answer = self._read(command.scontrol_config(self.tools), "Reading the cluster's configuration")
        self._known_configuration = answer
        return answer

    def jobs_named(self, names: Sequence[str], user: str | None) -> list[Job]:
        """All jobs of these names (none: any) and this user that the controller remembers, ended ones too."""
        found = self.jobs_listed(names, user)
        unseen = set(names) - {job.name for job in found}
        return found + (self._second_opinion(sorted(unseen), user) if unseen and user else [])

    def jobs_listed(self, names: Sequence[str], user: str | None) -> list[Job]:
        """The same from squeue alone, for who only believes what he sees: a job that is not listed may still be."""
        what = f"Listing {_jobs_in_words(names)} of {user or 'all users'}"
        found = self._read_json(command.squeue_named_json(self.tools, names, user), what)
        if found is None:
            found = _from_text("squeue", self._read(command.squeue_named_text(self.tools, names, user), what))
        return found

    def _second_opinion(self, names: Sequence[str], user: str) -> list[Job]:
        """An empty answer is no proof that there is no job: those that accounting holds for live are asked for by id.

        The controller has the last word, for accounting lags behind it.
        """
        if not self._accounting_answers:
            return []
        live = sorted({job.job_id for job in self.recorded_named(names, user) if job.live})[-MOST_OPINIONS:]
        return [job for job in self.shown(live) if job.name in names and job.user == user]

    def poll_all(self, job_ids: Sequence[int]) -> list[Job]:
        """State, reason, nodes and expected start, as cheaply as can be; of those that the controller knows."""
        argv = command.squeue_jobs_text(self.tools, job_ids)
        answer = self._read(argv, f"Asking for {_ids_in_words(job_ids)}", known=_NO_SUCH_JOB)
        return _of_ids(_from_text("squeue", answer), job_ids)

    def poll(self, job_id: int) -> Job | None:
        return next(iter(self.poll_all([job_id])), None)

    def job(self, job_id: int) -> Job | None:
        return next(iter(self.jobs([job_id])), None)

    def recorded(self, job_id: int) -> Job | None:
        return next(iter(self.recorded_all([job_id])), None)

    def jobs(self, job_ids: Sequence[int]) -> list[Job]:
        """Everything that the controller knows about these jobs, as squeue lists them."""
        found = self._read_json(
            command.squeue_jobs_json(self.tools, job_ids), f"Reading {_ids_in_words(job_ids)}", known=_NO_SUCH_JOB
        )
        return self.shown(job_ids) if found is None else _of_ids(found, job_ids)

    def shown(self, job_ids: Sequence[int]) -> list[Job]:
        """The same, asked for one by one with scontrol: dear, and a second source where squeue shows nothing."""
        found: list[Job] = []
        for job_id in job_ids:
            what = f"Reading job {job_id}"
            jobs = self._read_json(command.scontrol_job_json(self.tools, job_id), what, known=_NO_SUCH_JOB)
            if jobs is None:
                answer = self._read(command.scontrol_job_text(self.tools, job_id), what, known=_NO_SUCH_JOB)
                jobs = _from_text("scontrol", answer)
            found += _of_ids(jobs, [job_id])
        return found

    def recorded_all(self, job_ids: Sequence[int]) -> list[Job]:
        """What accounting knows about these jobs; nothing when there is no accounting."""
        if not self.tools.sacct:
            return []
        found = self._accounting(lambda sacct, as_json: command.sacct_jobs(sacct, job_ids, as_json=as_json))
        return _of_ids(found, job_ids)

    def recorded_named(self, names: Sequence[str], user: str | None) -> list[Job]:
        """The jobs that accounting knows, oldest first; none when there is no accounting."""
        if not self.tools.sacct:
            return []
        return self._accounting(lambda sacct, as_json: command.sacct_named(sacct, names, user, as_json=as_json))

    def batch_script(self, job_id: int) -> str | None:
        """The script that the controller keeps of a job. Empty for a job that has none, None for one it does not show.

        Slurm 24.11 exits with 0 in all of these cases.
        """
        answer = self._run(command.scontrol_script(self.tools, job_id), self._read_environment)
        if answer.rc == 0 and answer.out:
            return answer.out
        return "" if re.search(_NO_SCRIPT, answer.err) else None

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
        return Submission(refused=_is_refusal(answer), complaint=complaint)

    def test(self, spec: JobSpec, comment: str, script_path: str) -> Submission:
        """What sbatch says of a job without making it.

        A controller that has just started knows no node yet, and says of each job what it says of an impossible one.
        So that answer is heard again for some seconds.
        """
        from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

        def look() -> Seen[Submission]:
            answer = self.submit(spec, comment, script_path, test_only=True)
            return Seen(done=not re.search(_NO_SUCH_NODES, answer.complaint), value=answer)

        waiter = Waiter(look, timeout=SECONDS_TO_REGISTER, interval=2.0, clock=self._clock, sleep=self._sleep)
        try:
            return waiter.wait().value
        except WaitTimeoutError as timeout:
            return t.cast(Submission, timeout.last)

    def cancel(self, job_ids: Sequence[int], name: str, user: str) -> bool:
        """Ask for it. Whether it happened is for the caller to see: what scancel answers is no proof either way.

        False when scancel itself failed, so that there is no point in waiting for what comes of it.
        """
        return (
            self._run(self._as_user(command.scancel(self.tools, job_ids, name, user)), self._base_environment).rc == 0
        )

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
            elif answer.rc is None or re.search(_NO_ACCOUNTING, answer.err) or re.search(_NOT_HEARD, answer.err):
                # The question in another form would take as long and say no more.
                self._accounting_answers = False
                return []
        answer = self._run(argv(sacct, False), self._read_environment)
        self._accounting_answers = answer.rc == 0
        return _from_text("sacct", answer) if answer.rc == 0 else []

    def _read_json(self, argv: list[str], what: str, known: str | None = None) -> list[Job] | None:
        """The jobs of a JSON answer, or None when this Slurm gives none that can be read."""
        if not self._json_works:
            return None
        answer = self._read(argv, what, known=known, json_may_be_missing=True)
        if answer.rc == 0:
            try:
                return parse.jobs_from_json(answer.out)
            except parse.ParseError:
                pass
        if known and re.search(known, answer.err + answer.out):
            return []
        self._json_works = False
        return None

    def _read(
        self,
        argv: list[str],
        what: str,
        *,
        known: str | None = None,
        json_may_be_missing: bool = False,
    ) -> Completed:
        """Run a command that only looks until it answers: success, a failure that is `known`, or no JSON."""
        started = self._clock()
        answer = self._run(argv, self._read_environment)
        if answer.rc == 0:
            return answer
        from ansible_collections.llmops.cluster.plugins.module_utils._wait import (
            Backoff,
            Seen,
            Waiter,
            WaitTimeoutError,
        )

        # Judged like those that follow it.
        answers = [answer]

        def look() -> Seen[Completed]:
            answer = answers.pop() if answers else self._run(argv, self._read_environment)
            settled = answer.rc == 0 or bool(known and re.search(known, answer.err + answer.out))
            no_json = json_may_be_missing and answer.rc is not None and bool(re.search(_NO_JSON, answer.err))
            return Seen(done=settled or no_json, value=answer)

        left = max(0.0, self._patience - (self._clock() - started))
        waiter = Waiter(look, timeout=left, backoff=Backoff(first=0.5, most=5), clock=self._clock, sleep=self._sleep)
        try:
            return waiter.wait().value
        except WaitTimeoutError as timeout:
            last: Completed = timeout.last
            waited = self._clock() - started
            raise CommandError(
                f"{what} failed: {argv[0]} gave no answer for {waited:.0f} seconds (last: {last.complaint}). "
                "Look at the controller with `scontrol ping` and at munge on this host, then run this task again.",
                command=argv,
                rc=last.rc,
                stderr=last.err,
            ) from timeout


def _from_text(tool: str, answer: Completed) -> list[Job]:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm import parse_text

    return parse_text.READERS[tool](answer.out)


def _of_ids(jobs: list[Job], job_ids: Sequence[int]) -> list[Job]:
    wanted = set(job_ids)
    return [job for job in jobs if job.job_id in wanted or job.group_id in wanted]


def _jobs_in_words(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"the jobs {names[0]}"
    return f"the jobs of {len(names)} names" if names else "the jobs"


def _ids_in_words(job_ids: Sequence[int]) -> str:
    return f"job {job_ids[0]}" if len(job_ids) == 1 else f"{len(job_ids)} jobs"


def _is_refusal(answer: Completed) -> bool:
    """Whether sbatch said no itself. One that was killed (by runuser's account: 128 + the signal) says nothing.

    255 is its word for options that it does not take, found before it asks the controller.
    """
    said_no = answer.rc is not None and (0 < answer.rc < 128 or answer.rc == 255) and bool(answer.err.strip())
    return said_no and not re.search(_NOT_HEARD, answer.err)


def _without_prefix(complaint: str) -> str:
    return re.sub(r"\b(?:sbatch: )?error: |\bsbatch: ", "", complaint)
