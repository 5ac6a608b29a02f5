# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Slurm in memory: it answers the commands the client runs, keeps time, and fails where it is told to."""

from __future__ import annotations

import json
import threading
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed

if t.TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = command.Account(name="vllm", home="/home/vllm", shell="/bin/sh")
TOOLS = command.Tools(sbatch="sbatch", squeue="squeue", scontrol="scontrol", scancel="scancel", sacct="sacct")
TIMED_OUT = "slurm_load_jobs error: Socket timed out on send/recv operation"

# What a job is after so many seconds since its submission.
Life = list[tuple[float, dict[str, t.Any]]]
RUNS_AT_ONCE: Life = [(0, {"state": ["RUNNING"], "nodes": "gpu1", "batch_host": "gpu1"})]


@dataclass
class FakeJob:
    job_id: int
    name: str
    user: str
    comment: str
    submit_line: str
    script: str
    submitted: float
    life: Life
    environment: Mapping[str, str] = field(default_factory=dict)
    cancelled: bool = False
    array_job_id: int = 0
    array_task_id: int | None = None

    def now(self, clock: float) -> dict[str, t.Any]:
        seen: dict[str, t.Any] = {
            "state": ["PENDING"],
            "reason": "Resources",
            "nodes": "",
            "batch_host": "",
            "exit_code": 0,
            "signal": 0,
            "start": 0,
        }
        for after, change in self.life:
            if clock - self.submitted >= after:
                seen = {**seen, "reason": "None", **change}
        return {**seen, "state": ["CANCELLED"]} if self.cancelled else seen


TURNED_AWAY = (
    "sbatch: error: Memory specification can not be satisfied\n"
    "sbatch: error: Batch job submission failed: Requested node configuration is not available"
)


@dataclass
class FakeSlurm:
    """The controller. `submit_faults` are used up one by one: "" works, see `_sbatch` for the others."""

    life: Life = field(default_factory=lambda: list(RUNS_AT_ONCE))
    submit_faults: list[str] = field(default_factory=list)
    refusal: str = ""
    # Until then a controller that has just started refuses to test a job, for it knows no node.
    nodes_register_at: float = 0.0
    forgotten_cancels: int = 0
    failing_cancels: int = 0
    down_until: float = 0.0
    # When it is killed, knowing afterwards what `save` wrote down last. squeue shows nothing while `blind`.
    killed_at: float = float("inf")
    boot_time: int = 500
    saved: list[tuple[FakeJob, bool]] = field(default_factory=list)
    blind: bool = False
    # What squeue says of each job, which may be no more than this host's belief.
    told_cluster: str = "lab"
    has_json: bool = True
    has_accounting: bool = True
    forgets_ended: bool = False
    logs: dict[str, str] = field(default_factory=dict)
    jobs: list[FakeJob] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    clock: float = 1000.0
    next_id: int = 1
    one_by_one: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> SlurmClient:
        return SlurmClient(TOOLS, ACCOUNT, {}, runner=self, clock=lambda: self.clock, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def save(self) -> None:
        """What slurmctld does every few seconds."""
        self.saved = [(job, job.cancelled) for job in self.jobs]

    def _restart(self) -> None:
        self.killed_at, self.boot_time = float("inf"), int(self.clock)
        self.jobs = [job for job, cancelled in self.saved]
        for job, cancelled in self.saved:
            job.cancelled = cancelled

    def called(self, tool: str, *words: str) -> list[list[str]]:
        return [argv for argv in self.calls if argv[0] == tool and all(word in argv for word in words)]

    def live(self) -> list[FakeJob]:
        return [job for job in self.jobs if self._lives(job)]

    def _lives(self, job: FakeJob) -> bool:
        return job.now(self.clock)["state"][0] in ("PENDING", "RUNNING")

    def add(self, name: str, comment: str, **more: t.Any) -> FakeJob:
        """A job that is there before the module comes."""
        job = FakeJob(
            job_id=self.next_id,
            name=name,
            user=more.pop("user", "vllm"),
            comment=comment,
            submit_line=more.pop("submit_line", "sbatch job.sh"),
            script=more.pop("script", "#!/bin/sh\n"),
            submitted=more.pop("submitted", self.clock),
            life=more.pop("life", list(RUNS_AT_ONCE)),
            **more,
        )
        self.next_id += 1
        self.jobs.append(job)
        return job

    def __call__(self, argv: list[str], env: Mapping[str, str], cwd: str = "/") -> Completed:
        with self.one_by_one:
            return self._answer_to(argv, env)

    def _answer_to(self, argv: list[str], env: Mapping[str, str]) -> Completed:
        self.calls.append(argv)
        if self.clock >= self.killed_at:
            self._restart()
        tool = argv[0]
        if tool == "tail":
            text = self.logs.get(argv[-1])
            return self._answer(argv, text) if text is not None else self._failure(argv, "tail: cannot open")
        if tool == "sacct":
            return self._sacct(argv)
        if self.clock < self.down_until:
            return self._failure(argv, TIMED_OUT)
        handlers = {
            "sbatch": self._sbatch,
            "squeue": self._squeue,
            "scontrol": self._scontrol,
            "scancel": self._scancel,
        }
        return handlers[tool](argv, env)

    @staticmethod
    def _answer(argv: list[str], out: str, err: str = "") -> Completed:
        return Completed(tuple(argv), 0, out, err)

    @staticmethod
    def _failure(argv: list[str], err: str, rc: int = 1) -> Completed:
        return Completed(tuple(argv), rc, "", err)

    def _tested(self, argv: list[str]) -> Completed:
        if self.clock < self.nodes_register_at:
            return self._failure(argv, "allocation failure: Requested node configuration is not available")
        return self._answer(argv, "", "sbatch: Job 99 to start at 2026-11-21T00:00:00 using 1 processors on nodes gpu1")

    def _sbatch(self, argv: list[str], env: Mapping[str, str]) -> Completed:
        if self.refusal:
            return self._failure(argv, f"sbatch: error: {self.refusal}")
        if "--test-only" in argv:
            return self._tested(argv)
        fault = self.submit_faults.pop(0) if self.submit_faults else ""
        if fault in ("", "taken but timed out", "taken but unreadable"):
            self._take(argv, env)
        if fault == "":
            return self._answer(argv, f"{self.jobs[-1].job_id}\n")
        if fault == "taken but unreadable":
            return self._answer(argv, "sbatch: bad weather\n")
        if fault == "turned away":
            # Refused, and remembered as a job that failed: what slurmctld 24.11.5 does when no node has so much.
            self._take(argv, env)
            self.jobs[-1].life = [(0.0, {"state": ["FAILED"], "reason": "BadConstraints", "signal": 1})]
            return self._failure(argv, TURNED_AWAY)
        if fault == "killed":
            return self._failure(argv, "Killed", rc=137)
        if fault == "unknown option":
            return self._failure(argv, "sbatch: unrecognized option '--partion=gpu'", rc=255)
        if fault == "lost after the answer":
            self.boot_time += 1
            return self._answer(argv, f"{self.next_id}\n")
        return self._failure(
            argv, "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
        )

    def _take(self, argv: list[str], env: Mapping[str, str]) -> None:
        given = dict(word[2:].split("=", 1) for word in argv if word.startswith("--") and "=" in word)
        self.add(
            given["job-name"],
            given["comment"],
            submit_line=" ".join(argv),
            script=argv[-1],
            life=list(self.life),
            environment=dict(env),
        )

    def _known(self, argv: list[str]) -> list[FakeJob]:
        given = dict(word[2:].split("=", 1) for word in argv if word.startswith("--") and "=" in word)
        ids = set(given["jobs"].split(",")) if "jobs" in given else None
        names = set(given["name"].split(",")) if "name" in given else None
        return [
            job
            for job in self.jobs
            if given.get("user", job.user) == job.user
            and (names is None or job.name in names)
            and (ids is None or str(job.array_job_id or job.job_id) in ids)
            and (not self.forgets_ended or self._lives(job))
        ]

    def _squeue(self, argv: list[str], env: Mapping[str, str]) -> Completed:
        if "--json" in argv:
            return self._json(argv, [] if self.blind else self._known(argv))
        if self.blind:
            return self._answer(argv, "")
        if any(word.startswith("--jobs=") for word in argv) and not self._known(argv):
            return self._failure(argv, "slurm_load_jobs error: Invalid job id specified")
        lines = []
        for job in self._known(argv):
            seen = job.now(self.clock)
            fields = {
                "job_id": job.job_id,
                "shown_id": job.array_job_id or job.job_id,
                "state": seen["state"][-1],
                "reason": seen["reason"],
                "nodes": seen["nodes"],
                "batch_host": seen["batch_host"] or "n/a",
                "submit_time": int(job.submitted),
                "start_time": seen["start"] or "N/A",
                "user": job.user,
                "name": job.name,
                "comment": job.comment or "(null)",
            }
            lines.append(command.SEPARATOR.join(str(fields[name]) for name in command.SQUEUE_FIELDS) + "\n")
        return self._answer(argv, "".join(lines))

    def _scontrol(self, argv: list[str], env: Mapping[str, str]) -> Completed:
        if argv[1:] == ["show", "config"]:
            return self._answer(
                argv,
                f"Configuration data as of now\nBOOT_TIME = {self.boot_time}\nClusterName             = lab\n",
            )
        if argv[1] == "write":
            return self._answer(argv, next(job.script for job in self.jobs if str(job.job_id) == argv[3]))
        jobs = [job for job in self._known([]) if str(job.job_id) == argv[-1]]
        if not jobs:
            return self._failure(argv, "slurm_load_jobs error: Invalid job id specified")
        if "--json" in argv:
            return self._json(argv, jobs)
        job = jobs[0]
        seen = job.now(self.clock)
        return self._answer(
            argv,
            f"JobId={job.job_id} JobName={job.name} UserId={job.user}(403) GroupId={job.user}(403) MCS_label=N/A "
            f"JobState={seen['state'][0]} Reason={seen['reason']} ExitCode={seen['exit_code']}:{seen['signal']} "
            f"BatchHost={seen['batch_host']} Command=/s.sh WorkDir=/home/vllm Comment={job.comment}  StdErr= "
            f"StdIn=/dev/null StdOut=/home/vllm/slurm-{job.job_id}.out \n",
        )

    def _json(self, argv: list[str], jobs: list[FakeJob]) -> Completed:
        if not self.has_json:
            return self._failure(argv, f"{argv[0]}: fatal: Unable to find plugin: serializer/json")
        return self._answer(argv, json.dumps({"jobs": [self._record(job) for job in jobs], "errors": []}))

    def _record(self, job: FakeJob) -> dict[str, t.Any]:
        seen = job.now(self.clock)
        return {
            "job_id": job.job_id,
            "array_job_id": {"set": True, "infinite": False, "number": job.array_job_id},
            "array_task_id": {
                "set": job.array_task_id is not None,
                "infinite": False,
                "number": job.array_task_id or 0,
            },
            "cluster": self.told_cluster,
            "name": job.name,
            "user_name": job.user,
            "comment": job.comment,
            "job_state": seen["state"],
            "state_reason": seen["reason"],
            "nodes": seen["nodes"],
            "batch_host": seen["batch_host"],
            "submit_time": {"set": True, "infinite": False, "number": int(job.submitted)},
            "exit_code": {
                "return_code": {"set": True, "infinite": False, "number": seen["exit_code"]},
                "signal": {"id": {"set": bool(seen["signal"]), "infinite": False, "number": seen["signal"]}},
            },
            "standard_output": "/home/vllm/slurm-%j.out",
            "standard_error": "",
            "current_working_directory": "/home/vllm",
            "submit_line": job.submit_line,
        }

    def _sacct(self, argv: list[str]) -> Completed:
        if not self.has_accounting:
            return self._failure(argv, "Slurm accounting storage is disabled")
        given = dict(word[2:].split("=", 1) for word in argv if word.startswith("--") and "=" in word)
        jobs = []
        for job in self.jobs:
            ids = given.get("jobs", str(job.job_id)).split(",")
            if str(job.job_id) in ids and job.name in given.get("name", job.name).split(","):
                record = self._record(job)
                record["state"] = {"current": record.pop("job_state"), "reason": record.pop("state_reason")}
                record["comment"] = {"administrator": "", "job": "", "system": ""}
                record["user"] = record.pop("user_name")
                jobs.append(record)
        return self._answer(argv, json.dumps({"jobs": jobs, "errors": []}))

    def _scancel(self, argv: list[str], env: Mapping[str, str]) -> Completed:
        if self.failing_cancels:
            self.failing_cancels -= 1
            return self._failure(argv, "scancel: error: Kill job error on job id 1: Socket timed out")
        if self.forgotten_cancels:
            self.forgotten_cancels -= 1
            return self._answer(argv, "")
        for job in self.jobs:
            if f"--name={job.name}" in argv and f"--user={job.user}" in argv and str(job.job_id) in argv:
                job.cancelled = True
        return self._answer(argv, "")
