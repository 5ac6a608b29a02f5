# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run did to one job, or in check mode would do."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.decide import Survey
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job


@dataclass
class Outcome:
    """`tasks` are those of an array. With `error` the job is not as wanted; what is known of it is here too."""

    changed: bool = False
    job: Job | None = None
    tasks: tuple[Job, ...] = ()
    replaced_job_id: int | None = None
    cancelled: tuple[Job, ...] = ()
    foreign: tuple[Job, ...] = ()
    diff: dict[str, str] | None = None
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    error: SlurmError | None = None

    @classmethod
    def of(cls, seen: Survey) -> Outcome:
        outcome = cls(foreign=seen.foreign)
        if seen.foreign:
            outcome.warnings.append(_left_alone(seen.foreign))
        return outcome

    def keep(self, job: Job) -> None:
        self.job = job
        self.message = f"{job.subject} is as wanted."


def _left_alone(jobs: Sequence[Job]) -> str:
    ids = ", ".join(str(job.job_id) for job in jobs)
    return f"There are jobs of the same name and user that this module did not make; they are left alone: {ids}."


def result(outcome: Outcome, *, key: str | None = None, submit_line: list[str] | None = None) -> dict[str, t.Any]:
    """The result of one job; every documented key is always there."""
    found: dict[str, t.Any] = _facts(outcome.job)
    found["key"] = key or (outcome.job.key if outcome.job else None)
    if submit_line is not None:
        found["submit_line"] = submit_line
    if outcome.tasks:
        found["tasks"] = [{"array_task_id": task.array_task_id, **_facts(task)} for task in outcome.tasks]
    found["replaced_job_id"] = outcome.replaced_job_id
    found["cancelled_job_ids"] = [job.group for job in outcome.cancelled]
    found["foreign_jobs"] = [job.job_id for job in outcome.foreign]
    found["changed"] = outcome.changed
    found["msg"] = outcome.message
    if outcome.diff is not None:
        found["diff"] = outcome.diff
    if outcome.error is not None:
        found = {**found, **outcome.error.facts, "failed": True, "msg": outcome.error.message}
        found["changed"] = outcome.changed
    # Of an array the id of all of it, which is what sbatch said and what another job depends on.
    found["job_id"] = outcome.job.group if outcome.job else None
    return found


def results(names: list[str], found: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The result of a list of jobs."""
    failed = [one["msg"] for one in found if one.get("failed")]
    changed = sum(one["changed"] for one in found)
    message = "\n".join([f"{len(failed)} of {len(found)} jobs failed.", *failed])
    return {
        "jobs": [
            {"name": name, **{key: value for key, value in one.items() if key != "diff"}}
            for name, one in zip(names, found)
        ],
        "changed": changed > 0,
        "failed": bool(failed),
        "msg": message if failed else f"{len(found)} jobs are as wanted, {changed} of them changed.",
        "diff": [one["diff"] for one in found if "diff" in one],
    }


def _facts(job: Job | None) -> dict[str, t.Any]:
    names = ("job_id", "job_state", "nodes", "batch_host", "exit_code", "signal", "stdout", "stderr", "reason")
    facts = job.facts() if job else {}
    return {name: facts.get(name) for name in names}
