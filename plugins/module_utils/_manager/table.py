# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and colours for people. Pure: whoever prints says whether there is a terminal and how wide it is."""

from __future__ import annotations

import re
import textwrap
import typing as t
import unicodedata
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Sequence

Colour = t.Literal["", "green", "yellow", "red", "bold", "dim", "cyan"]

_CODES: dict[str, str] = {"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2", "cyan": "36"}
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
GAP = "  "
NARROWEST = 8


@dataclass(frozen=True)
class Paint:
    """Colours, or none of them."""

    on: bool

    def __call__(self, text: str, colour: Colour) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.on and colour and text else text


@dataclass(frozen=True)
class Cell:
    text: str
    colour: Colour = ""


def plain(text: str) -> str:
    return _ESCAPE.sub("", text)


def harmless(text: str) -> str:
    """One line without control characters: what a job or a server says must not move the cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def width(text: str) -> int:
    """Columns on a terminal: wide letters take two, combining ones none."""
    columns = 0
    for letter in plain(text):
        if not unicodedata.combining(letter):
            columns += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
    return columns


def cut(text: str, columns: int) -> str:
    """`text` in at most so many columns; what is missing is shown."""
    if width(text) <= columns:
        return text
    kept = ""
    for letter in text:
        if width(kept + letter) > columns - 1:
            break
        kept += letter
    return f"{kept.rstrip()}\u2026"


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Cell | str]], *, paint: Paint, columns: int | None = None
) -> str:
    """Aligned columns; the last one gives way where the terminal is narrow (`columns`: None for no limit)."""
    cells = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows]
    texts = [[harmless(cell.text) for cell in row] for row in cells]
    widths = [max(width(text) for text in column) for column in zip(heads, *texts)]
    if columns is not None:
        others = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(columns - others, NARROWEST))
    lines = [_line([Cell(head, "bold") for head in heads], list(heads), widths, paint)]
    lines += [_line(row, text, widths, paint) for row, text in zip(cells, texts)]
    return "\n".join(lines)


def _line(cells: Sequence[Cell], texts: Sequence[str], widths: Sequence[int], paint: Paint) -> str:
    parts = []
    for cell, text, columns in zip(cells, texts, widths):
        shown = cut(text, columns)
        parts.append(paint(shown, cell.colour) + " " * (columns - width(shown)))
    return GAP.join(parts).rstrip()


def facts(pairs: Sequence[tuple[str, str]], paint: Paint, indent: str = "  ", columns: int | None = None) -> str:
    """Names and values below each other; further lines of a value stand below its first."""
    longest = max((width(name) for name, _value in pairs), default=0)
    room = None if columns is None else max(columns - longest - len(indent) - 2, 30)
    lines = []
    for name, value in pairs:
        first, *rest = _wrapped(value, room)
        pad = " " * (longest - width(name))
        lines.append(f"{indent}{paint(name, 'dim')}{pad}  {first}".rstrip())
        lines += [f"{indent}{' ' * longest}  {line}" for line in rest]
    return "\n".join(lines)


def _wrapped(text: str, room: int | None) -> list[str]:
    """Lines of at most so many columns. No word is cut: it may be a path or an address to be copied."""
    if room is None:
        return text.splitlines() or [""]
    lines = [
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return lines or [""]
