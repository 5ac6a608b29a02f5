# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a job. Raised low, turned into `fail_json` once, in the module's `main()`."""

from __future__ import annotations

import typing as t


class SlurmError(Exception):
    """The family. `facts` are the result keys that a failing module still returns."""

    def __init__(self, message: str, *, facts: dict[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.facts = dict(facts or {})


class SpecError(SlurmError):
    """What was asked for cannot be a job."""


class CommandError(SlurmError):
    """A Slurm command gave no usable answer, for as long as we were ready to ask."""

    def __init__(self, message: str, *, command: list[str], rc: int | None, stderr: str) -> None:
        super().__init__(message, facts={"cmd": command, "rc": rc, "stderr": stderr})
        self.command = command
        self.rc = rc
        self.stderr = stderr


class RefusedError(SlurmError):
    """Slurm understood, and said no."""


class OutcomeUnknownError(SlurmError):
    """Nobody can say whether Slurm did what was asked."""


class ChangeRefusedError(SlurmError):
    """The job differs from what is wanted, and `on_change` forbids to touch it."""


class JobEndedError(SlurmError):
    """The job ended, and not as it should."""


class JobTimeoutError(SlurmError):
    """The job took longer than it was given."""


class LockError(SlurmError):
    """Another run on this host keeps the job's lock."""


def raise_together(errors: list[SlurmError]) -> None:
    """Nothing for no error, a single one as it is, several in one message."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SlurmError("\n".join(error.message for error in errors))
