# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that are as wanted already, told from one list of jobs. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec


def cluster_of(jobs: Sequence[Job]) -> str | None:
    """The cluster that the jobs say they are on; None where they do not say it, or not all the same."""
    clusters = {job.cluster for job in jobs}
    return clusters.pop() or None if len(clusters) == 1 else None


def kept(
    specs: Sequence[JobSpec], jobs: Sequence[Job], cluster: str, *, state: str, on_change: str
) -> list[Outcome] | None:
    """The outcome for each job; None as soon as one of them leaves anything to do, to wait for or to ask.

    `cluster` may be what this host believes: a job has its key only if the controller's name is the same.
    """
    outcomes = []
    for spec in specs:
        seen = decide.survey(jobs, name=spec.name, user=spec.user, key=spec.key(cluster))
        plan = decide.decide(seen, on_change=on_change)
        job = plan.keep
        if job is None or plan.action != decide.KEEP or plan.cancel or not _is_there(job, state):
            return None
        outcome = Outcome.of(seen)
        outcome.keep(job)
        outcomes.append(outcome)
    return outcomes


def _is_there(job: Job, state: str) -> bool:
    there = state == "submitted" or (state == "running" and job.phase == states.RUNNING)
    return there and job.told_in_full
