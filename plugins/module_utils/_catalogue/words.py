# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for bash and for Slurm's #SBATCH lines. Private to this collection."""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SBATCH_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def _escape(match: re.Match[str]) -> str:
    char = match.group(0)
    return _ESCAPES.get(char) or f"\\x{ord(char):02x}"


def sh_word(value: t.Any) -> str:
    """One word of bash that stands for exactly this text, on one line whatever the text holds."""
    text = str(value)
    if "\0" in text:
        raise CatalogueError("Writing a word of a job script failed: the text holds a NUL byte. Remove it.")
    if not _CONTROL.search(text):
        return shlex.quote(text)
    # Line breaks stay inside $'...' as \n, so that no line of the script starts with somebody's text.
    return "$'" + re.sub(r"[\x01-\x1f\x7f\\']", _escape, text) + "'"


def sh_lines(words: t.Iterable[t.Any]) -> list[str]:
    """Quoted words as lines for people to read: one option a line, its values beside it."""
    lines: list[str] = []
    for word in words:
        if lines and not str(word).startswith("--"):
            lines[-1] += " " + sh_word(word)
        else:
            lines.append(sh_word(word))
    return lines


def sbatch_value(option: str, value: t.Any) -> str:
    """A value as an #SBATCH line can carry it; sbatch cuts such lines at blanks, quotes and '#'."""
    text = str(value)
    if not _SBATCH_SAFE.fullmatch(text):
        raise CatalogueError(
            f"Writing '#SBATCH --{option}' failed: {text!r} holds characters such a line cannot carry. "
            "Allowed are letters, digits and _@%+=:,./-"
        )
    return text
