# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done, from what is wanted and the jobs that there are. Pure."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

KEEP, SUBMIT, REPLACE, LEAVE, REFUSE, DONE = "keep", "submit", "replace", "leave", "refuse", "done"


class Survey(t.NamedTuple):
    """The jobs of one name and user, sorted by what they are to us. The live ones stand for their groups."""

    same: tuple[Job, ...]
    other: tuple[Job, ...]
    foreign: tuple[Job, ...]
    succeeded: tuple[Job, ...]

    @property
    def ours(self) -> tuple[Job, ...]:
        return self.same + self.other


class Plan(t.NamedTuple):
    """`action` on the job `keep` (if any); the jobs in `cancel` go."""

    action: str
    keep: Job | None = None
    cancel: tuple[Job, ...] = ()


def survey(jobs: Iterable[Job], *, name: str, user: str, key: str | None) -> Survey:
    """Sort `jobs`. Those of other names and users are not looked at: squeue's filters are not trusted.

    A job of our name without our comment is foreign: shown, never touched.
    """
    named = [job for job in jobs if job.name == name and job.user == user]
    ours = [job for job in named if job.owner == name]
    live = _groups(job for job in ours if job.live)
    return Survey(
        same=tuple(job for job in live if job.key == key),
        other=tuple(job for job in live if job.key != key),
        foreign=tuple(_groups(job for job in named if job.owner != name and job.live)),
        succeeded=tuple(
            stand_in(members)
            for members in by_group(job for job in ours if job.key == key).values()
            if all(job.succeeded for job in members)
        ),
    )


def decide(seen: Survey, *, on_change: str) -> Plan:
    """The plan for a job that shall exist."""
    if seen.same:
        keep, *doubles = by_merit(seen.same)
        # Jobs of an older specification beside the wanted one are left-overs of a replacement that was cut off.
        leftovers = seen.other if on_change == "replace" else ()
        return Plan(KEEP, keep=keep, cancel=(*doubles, *leftovers))
    if not seen.other:
        return Plan(SUBMIT)
    keep = by_merit(seen.other)[0]
    if on_change == "keep":
        return Plan(LEAVE, keep=keep)
    if on_change == "fail":
        return Plan(REFUSE, keep=keep)
    return Plan(REPLACE, keep=keep, cancel=seen.other)


def by_merit(jobs: Iterable[Job]) -> list[Job]:
    """The oldest running job first: it serves already. Then those that wait, oldest first."""
    return sorted(jobs, key=lambda job: (job.phase != "running", job.submit_time or 0, job.job_id))


def by_group(jobs: Iterable[Job]) -> dict[int, list[Job]]:
    """Jobs by the id that they share with the other tasks of their array; a job that is no array is alone."""
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return groups


def stand_in(members: Sequence[Job]) -> Job:
    """The one that stands for its group: of those that live the one furthest on; after them one that failed."""
    live = by_merit(job for job in members if job.live)
    return live[0] if live else next((job for job in members if not job.succeeded), members[-1])


def _groups(jobs: Iterable[Job]) -> list[Job]:
    return by_merit(stand_in(members) for members in by_group(jobs).values())
