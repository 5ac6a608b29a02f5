# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that are as wanted already, told from one list of jobs. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import decide, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job


def kept(
    wanted: Iterable[tuple[str, str]], jobs: Sequence[Job], *, user: str, state: str, on_change: str
) -> list[Outcome] | None:
    """The outcome for each name and key; None as soon as one job leaves anything to do, to wait for or to ask."""
    outcomes = []
    for name, key in wanted:
        seen = decide.survey(jobs, name=name, user=user, key=key)
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
