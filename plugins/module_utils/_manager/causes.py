# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cause of a failure is. The table itself: `causes_*.py`, which doctor.py puts together. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

# Where a line of evidence comes from: the job's logs; Slurm's reason for waiting; how Slurm says that it ended; what
# sbatch answered; what the engine answers.
Where = t.Literal["log", "reason", "end", "refusal", "health"]

# What is nearest to the root wins. A root cause names what has to be changed; a consequence is what follows from one
# and is taken only where nothing better was said; a guess is the last resort.
ROOT, LIKELY, CONSEQUENCE, GUESS = 10, 30, 60, 90


@dataclass(frozen=True)
class Cause:
    """`pattern` fits one line of evidence. Its named groups, and {model} and {job_id}, stand in `cause` and `fix`."""

    id: str
    pattern: str
    cause: str
    fix: str
    where: Where = "log"
    rank: int = ROOT
