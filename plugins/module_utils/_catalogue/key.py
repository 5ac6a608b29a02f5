# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of the tables of the catalogue. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

REPO_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
REPO_PATTERN = rf"(?:{REPO_PART}/)?{REPO_PART}"
PATH_PATTERN = r"/[A-Za-z0-9._@+-]+(?:/[A-Za-z0-9._@+-]+)*"
COMMIT_PATTERN = r"[0-9a-f]{40}"


@dataclass(frozen=True)
class Key:
    """One key: what it may hold and where it goes. `flag` is the engine's option that carries it as is.

    `reader` names who reads a value that is more than its type says.
    """

    name: str
    type: str
    description: str
    source: str
    default: t.Any = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    allowed: str = ""
    unit: str = ""
    flag: str = ""
    defaultable: bool = True
    reader: str = ""

    def allows(self) -> str:
        """What may be written here, in words."""
        if self.allowed:
            return self.allowed
        if self.choices:
            return "one of " + ", ".join(self.choices)
        noun = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}.get(
            self.type, f"a {self.type}"
        )
        if self.minimum is not None and self.maximum is not None:
            return f"{noun} from {self.minimum:g} to {self.maximum:.10g}"
        return noun if self.minimum is None else f"{noun} of at least {self.minimum:g}"
