# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as they were found, for messages. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence


class BadValueError(Exception):
    """The value breaks its row. Each fault says what was found and what is allowed."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def show(value: t.Any) -> str:
    """A value for a message: short, and with its type where the type is the point."""
    text = repr(str(value)) if isinstance(value, str) else str(value)
    if len(text) > 60:
        text = text[:57] + "..."
    if value is None or isinstance(value, str):
        return "nothing" if value is None else text
    names = ((bool, "boolean"), (int, "number"), (float, "number"), (Mapping, "dictionary"), (Sequence, "list"))
    return f"{text} ({next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)})"
