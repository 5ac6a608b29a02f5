# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check of an engine can end with, other than well."""

from __future__ import annotations

import typing as t


class HealthError(Exception):
    """The one exception of this package: "<what we tried> on <which thing> failed: <cause>. <what to do>"."""

    def __init__(self, *, message: str, facts: dict[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts or {}
