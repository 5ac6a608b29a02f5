# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every command of the manager gets, and the questions that several of them ask."""

from __future__ import annotations

import argparse
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.llmops.cluster.plugins.module_utils._manager import host as hosts
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FAILED, UNKNOWN, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._manager.host import Host
from ansible_collections.llmops.cluster.plugins.module_utils._manager.logs import Logs
from ansible_collections.llmops.cluster.plugins.module_utils._manager.overview import latest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.screen import Screen
from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import job_name
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, states
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import JobPlaces, Place
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.watch import look_once

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import Kind, Script
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Task

LOOK_SECONDS = 5.0


@dataclass
class Context:
    """One call of the manager."""

    host: Host
    screen: Screen
    args: argparse.Namespace

    @property
    def dry_run(self) -> bool:
        return bool(getattr(self.args, "dry_run", False))

    @property
    def user(self) -> str:
        return self.host.settings.user

    def now(self) -> float:
        return hosts.now()

    def logs(self) -> Logs:
        return Logs(self.host.client, self.host.srun())

    def all_jobs(self) -> dict[str, list[Job]]:
        """The service's jobs that Slurm remembers, by name: live ones, else the last."""
        return latest(self.host.client.jobs_named([], self.user))

    def jobs_named(self, name: str) -> list[Job]:
        """The same of one name, with accounting's memory where Slurm's own is over."""
        jobs = [job for job in self.host.client.jobs_named([name], self.user) if job.name == name]
        if not jobs:
            jobs = [job for job in self.host.client.recorded_named([name], self.user) if job.name == name]
        return latest(jobs).get(name, [])

    def job(self, job_id: int) -> Job:
        job = self.host.client.job(job_id) or self.host.client.recorded(job_id)
        if job is None:
            raise ManagerError(
                f"Looking for job {job_id} failed: Slurm does not know it, nor does its accounting. "
                "`vllm-manager status` lists the jobs that there are.",
                UNKNOWN,
            )
        return job

    def full_job(self, job: Job) -> Job:
        """With the paths of its logs, which short lists leave out."""
        return self.host.client.job(job.job_id) or job

    def serving_job(self, model: str) -> Job:
        """The job that serves the model now."""
        script = self.host.script("serve", model)
        live = [job for job in self.jobs_named(script.job_name) if job.live]
        running = [job for job in decide.by_merit(live) if job.phase == states.RUNNING]
        if running:
            return self.full_job(running[0])
        state = f"its job {live[0].job_id} is {live[0].phase}" if live else "it has no job"
        way = "`vllm-manager status` shows how far it is" if live else f"`vllm-manager serve {model}` starts it"
        raise ManagerError(f"Asking {model} failed: {state}. {way}.", FAILED)

    def target_job(self, word: str, kind: Kind = "serve") -> Job | None:
        """The job of an id, or the one that matters of a model: a live one, else the last; None without any."""
        if word.isdigit():
            return self.job(int(word))
        script = self.host.script(kind, word)
        found = decide.by_merit(self.jobs_named(script.job_name))
        return self.full_job(found[0]) if found else None

    def places(self, job: Job, key: str | None, port: int | None = None) -> JobPlaces:
        def connect(url: str) -> HttpClient:
            return HttpClient(url, api_key=key)

        return JobPlaces(job.job_id, self.host.settings.endpoints_dir, port, connect)

    def port(self, job: Job | None, script: Script) -> int | None:
        """Where a running job listens, which may be another port than its script wishes for; else the wish."""
        if job is None or job.phase != states.RUNNING:
            return script.port
        found = self.places(job, None, script.port)(job_seen(job))
        return script.port if isinstance(found, Verdict) else urlsplit(found.url).port

    def place(self, job: Job, key: str | None, port: int | None = None) -> Place:
        found = self.places(job, key, port)(job_seen(job))
        if isinstance(found, Verdict):
            raise ManagerError(f"Finding the address of job {job.job_id} failed: {found.detail}.", FAILED)
        return found

    def health(self, job: Job, script: Script | None, key: str | None) -> tuple[Verdict, str]:
        """One quick look at a running job's engine, up to a real answer; and its address."""
        task: Task = script.task if script else "generate"
        target = Target(None, "completion", task, LOOK_SECONDS)
        places = self.places(job, key, script.port if script else None)
        found = look_once(Ladder(places, target, lambda: job_seen(job)), target)
        return found.verdict, found.url or ""


def job_seen(job: Job) -> JobSeen:
    """A job that runs, as the ladder of vllm_health sees it."""
    return JobSeen("running", f"job {job.job_id} is {job.state}", host=job.batch_host, started=job.start_time)


def serve_name(model: str) -> str:
    return job_name("serve", model)
