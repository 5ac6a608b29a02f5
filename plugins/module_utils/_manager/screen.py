# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed: for people with colours and a line that moves, for programs one JSON document."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import (
    Cell,
    Paint,
    cut,
    facts,
    harmless,
    table,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import span

if t.TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Screen:
    """Results go to `out`. What happens meanwhile goes to `err`, so that a pipe gets results alone."""

    as_json: bool = False
    out: t.TextIO = field(default_factory=lambda: sys.stdout)
    err: t.TextIO = field(default_factory=lambda: sys.stderr)
    colours: bool | None = None
    _moving: bool = False
    _last: str = ""
    _began: float | None = None

    def __post_init__(self) -> None:
        wanted = "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
        self.paint = Paint(self.out.isatty() and wanted if self.colours is None else self.colours)
        self.paint_err = Paint(self.err.isatty() and wanted if self.colours is None else self.colours)

    @property
    def columns(self) -> int | None:
        """None where lines may be of any length."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def result(self, value: t.Any) -> None:
        """The JSON document, for programs only."""
        if self.as_json:
            self.out.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
            self.out.flush()

    def say(self, text: str = "") -> None:
        if not self.as_json:
            self.clear()
            self.out.write(f"{text}\n")
            self.out.flush()

    def write(self, text: str) -> None:
        """A part of a line, as it comes."""
        if not self.as_json:
            self.out.write(text)
            self.out.flush()

    def note(self, text: str) -> None:
        """Something beside the result: a warning, a step."""
        if not self.as_json:
            self.clear()
            self.err.write(f"{text}\n")
            self.err.flush()

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> None:
        self.say(table(heads, rows, paint=self.paint, columns=self.columns))

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.say(facts(pairs, self.paint, columns=self.columns))

    def now(self, text: str, milestone: str) -> None:
        """What goes on. A line that is written over on a terminal; elsewhere a line for each new milestone."""
        if self.as_json:
            return
        if self.err.isatty():
            columns = shutil.get_terminal_size().columns - 1
            self._began = time.monotonic() if self._began is None else self._began
            passed = span(time.monotonic() - self._began)
            self.err.write(f"\r\x1b[K{cut(f'{harmless(text)}  {passed}', columns)}")
            self.err.flush()
            self._moving = True
        elif milestone != self._last:
            self.err.write(f"{harmless(text)}\n")
            self.err.flush()
        self._last = milestone

    def clear(self) -> None:
        if self._moving:
            self.err.write("\r\x1b[K")
            self.err.flush()
            self._moving = False
