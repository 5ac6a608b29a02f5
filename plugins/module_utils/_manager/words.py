# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small things said to people: times, lists, likely meant names, messages of the modules. Pure."""

from __future__ import annotations

import difflib
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

# The modules speak to those who write playbooks; the manager to those who type commands.
_OF_MODULES = (
    (
        re.compile(r", and on_change is fail\. Set on_change to replace .*? with state=absent\."),
        ". Its script was written anew since then. --replace cancels it and starts it again.",
    ),
    (re.compile(r"that this module did not make"), "that were submitted by hand"),
    (re.compile(r"run this task again"), "run this command again"),
    (re.compile(r"Make the account first, with the same uid on every host\."), "Run the playbook site.yml first."),
    (re.compile(r" Or raise (?:queue|start|run)_timeout\."), ""),
    (re.compile(r", or raise (?:timeout|request_timeout)\b"), ", or give it more time (--timeout)"),
    (re.compile(r"\bwith state=absent\b"), "with `vllm-manager stop`"),
    (re.compile(r"; if it is only slow, raise request_timeout"), ""),
    (re.compile(r" \(`(\w+)` in options\)"), r" (`\1` of its entry in vllm_models)"),
)


def for_people(message: str) -> str:
    """A message of the modules in the words of the command line."""
    for pattern, words in _OF_MODULES:
        message = pattern.sub(words, message)
    return message


def span(seconds: float) -> str:
    """A length of time in its two largest units: 42s, 3m 10s, 2h 5m, 6d 23h."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left}s"
    days, left = divmod(left, 86400)
    hours, left = divmod(left, 3600)
    minutes, left = divmod(left, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (left, "s")]
    first = next(index for index, (number, _unit) in enumerate(parts) if number)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number)


def size(number: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def meant(word: str, known: Iterable[str]) -> str:
    """A question for a slip of the pen, with a blank before it; empty when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def plural(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
