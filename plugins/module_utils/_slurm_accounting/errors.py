# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with accounting. Raised low, turned into `fail_json` once, in the module's `main()`."""

from __future__ import annotations

import typing as t


class AccountingError(Exception):
    """The family. `facts` are the result keys that a failing module still returns."""

    def __init__(self, message: str, *, facts: dict[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.facts = dict(facts or {})


class DeclarationError(AccountingError):
    """What was declared contradicts itself, or what is there."""


class ReadError(AccountingError):
    """What is there could not be read."""


class ChangeError(AccountingError):
    """Slurm did not make a change."""
