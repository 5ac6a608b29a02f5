# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One record of differences that decides `changed` and makes the `diff`, so that the two cannot disagree.

Private to the collection.
"""

from __future__ import annotations

import typing as t


class DifferenceTracker:
    """Collects named values that differ between what is and what shall be."""

    def __init__(self) -> None:
        self._before: dict[str, t.Any] = {}
        self._after: dict[str, t.Any] = {}

    def add(self, name: str, before: t.Any, after: t.Any) -> None:
        """Record `name` if its two values differ; equal values leave no trace."""
        if before != after:
            self._before[name] = before
            self._after[name] = after

    @property
    def empty(self) -> bool:
        return not self._after

    @property
    def names(self) -> list[str]:
        return list(self._after)

    def before_after(self) -> dict[str, dict[str, t.Any]]:
        """The value of a module's `diff` result."""
        return {"before": dict(self._before), "after": dict(self._after)}
