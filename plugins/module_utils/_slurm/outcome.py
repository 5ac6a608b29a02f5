# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run did to one job, or in check mode would do."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import report

if t.TYPE_CHECKING:
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
            outcome.warnings.append(report.foreign(seen.foreign))
        return outcome
