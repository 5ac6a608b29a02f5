# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command of the manager ends with when it does not end well, and the exit codes that say so. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Exit:
    """An exit code: programs read the number, people the meaning."""

    code: int
    name: str
    meaning: str


OK: t.Final = Exit(0, "ok", "done; of test: the model answers; of doctor: nothing is wrong")
FAILED: t.Final = Exit(1, "failed", "the job failed, the model does not answer, or doctor found a cause")
USAGE: t.Final = Exit(2, "usage", "the command line is wrong")
NOT_READY: t.Final = Exit(3, "not_ready", "still queued or loading when the time was over")
UNKNOWN: t.Final = Exit(4, "unknown", "there is no such model, job or file")
REFUSED: t.Final = Exit(5, "refused", "Slurm refuses the job, or a job with another specification is in the way")
FORBIDDEN: t.Final = Exit(6, "forbidden", "this user may not do that")
KEY: t.Final = Exit(7, "key", "the API key is missing or wrong")
NO_SLURM: t.Final = Exit(8, "no_slurm", "Slurm gives no answer")
INTERRUPTED: t.Final = Exit(130, "interrupted", "stopped with Ctrl-C; jobs go on")

EXITS: t.Final = (OK, FAILED, USAGE, NOT_READY, UNKNOWN, REFUSED, FORBIDDEN, KEY, NO_SLURM, INTERRUPTED)


class ManagerError(Exception):
    """The one exception of this package. `facts` go into the JSON beside message and code."""

    def __init__(self, message: str, exit_: Exit = FAILED, *, facts: dict[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.exit = exit_
        self.facts = facts or {}

    def as_json(self) -> dict[str, t.Any]:
        return {"failed": True, "error": self.exit.name, "code": self.exit.code, "msg": self.message, **self.facts}
