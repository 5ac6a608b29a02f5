# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a value is one that Slurm reads as it was meant, and its text. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import (
    BOOL,
    COUNT,
    FLOAT,
    MINUTES,
    SECONDS,
    SWITCH,
    TEXT,
    TIME,
    U16,
    U32,
    U64,
)

_SECRET_KEY = re.compile(r"pass|secret|token", re.IGNORECASE)
_WHOLE = re.compile(r"0|[1-9][0-9]*")
_TIME = re.compile(
    r"(?P<m>[0-9]+)(?::[0-9]{1,2})?"
    r"|(?P<h2>[0-9]+):(?P<m2>[0-9]{1,2}):[0-9]{1,2}"
    r"|(?P<d>[0-9]+)-(?P<h>[0-9]{1,2})(?::(?P<m3>[0-9]{1,2})(?::[0-9]{1,2})?)?"
)
FOREVER: t.Final = ("UNLIMITED", "INFINITE")
# Least and greatest; a suffix of Slurm's (k, m) is for people who count by hand, and refused.
_RANGES: t.Final = {COUNT: (1, 65533), U16: (0, 65535), U32: (0, 2**32 - 3), U64: (0, 2**64 - 3), MINUTES: (0, 65533)}
_RANGES_SECONDS: t.Final = (0, 2**32 - 3)
_QUOTE: t.Final = (
    "YAML reads 1:30:00 without quotes as the number 5400, which Slurm would take for minutes: write the time in quotes"
)


class RefusedError(Exception):
    """What is allowed instead, as the end of a sentence."""


def is_whole(value: t.Any) -> bool:
    """Whether this is a whole number of YAML, which Ansible hands over as a kind of int of its own."""
    return isinstance(value, int) and not isinstance(value, bool)


def plain(value: t.Any) -> str:
    """The value as one word of Slurm, unchecked."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(plain(item) for item in value)
    return str(value)


def _whole(value: t.Any, kind: str, words: tuple[str, ...] = FOREVER) -> str:
    low, high = _RANGES_SECONDS if kind == SECONDS else _RANGES[kind]
    text = value if isinstance(value, str) else str(value) if is_whole(value) else ""
    if text.upper() in words:
        return text
    # Slurm reads 010 as octal, so a leading zero is no number here.
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        most = f" to {high}" if high < 2**16 else " on"
        raise RefusedError(f"allowed is a whole number from {low}{most}" + (f" or {words[-1]}" if words else ""))
    return text


def time_minutes(text: str) -> int | None:
    """A time as Slurm writes it, in whole minutes; None for no limit."""
    if text.upper() in (*FOREVER, "-1"):
        return None
    match = _TIME.fullmatch(text)
    if not match:
        raise RefusedError("")
    parts = {name: int(found) for name, found in match.groupdict().items() if found is not None}
    days, hours = parts.get("d", 0), parts.get("h", parts.get("h2", 0))
    return days * 1440 + hours * 60 + parts.get("m", parts.get("m2", parts.get("m3", 0)))


def _time(value: t.Any) -> str:
    allowed = "allowed is minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]] or INFINITE"
    if value == 0 and is_whole(value):
        return "0"
    if not isinstance(value, str):
        raise RefusedError(f"{allowed}. {_QUOTE}" if isinstance(value, int | float) else allowed)
    try:
        time_minutes(value)
    except RefusedError:
        raise RefusedError(allowed) from None
    return value


def _float(value: t.Any) -> str:
    text = str(value) if not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise RefusedError("allowed is a number, not below 0")
    return text


def _bool(value: t.Any) -> str:
    text = plain(value).lower()
    if text in ("yes", "y", "true", "up", "1"):
        return "yes"
    if text in ("no", "n", "false", "down", "0"):
        return "no"
    raise RefusedError("allowed are true and false")


def _choice(value: t.Any, choices: Sequence[str]) -> str:
    # YAML 1.1 reads YES, NO and OFF without quotes as booleans.
    meant = {True: ("YES",), False: ("NO", "OFF", "off")}.get(value, ()) if isinstance(value, bool) else ()
    text = next((choice for choice in choices if choice in meant), plain(value))
    # FORCE:4 and the like: what follows a colon is Slurm's to judge.
    if text.split(":")[0].upper() not in [choice.upper() for choice in choices]:
        raise RefusedError(f"allowed are {', '.join(choices)}")
    return text


def check_text(value: t.Any) -> str:
    """Any text that stays on its line."""
    if isinstance(value, Mapping) or value is None:
        raise RefusedError("allowed are texts, numbers, booleans and lists")
    text = plain(value)
    if not text or text != text.strip():
        raise RefusedError(
            "allowed is a text with something in it and no blanks around it. Set the key to null to leave it out"
        )
    # Slurm takes '#' anywhere as the start of a comment and cannot quote it.
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029#]", text):
        raise RefusedError("line breaks, control characters and '#' cannot be written")
    if " " in text and '"' in text:
        raise RefusedError("blanks and double quotes cannot go together")
    return text


_KINDS: t.Final[dict[str, t.Callable[[t.Any], str]]] = {
    TEXT: check_text,
    BOOL: _bool,
    FLOAT: _float,
    TIME: _time,
    # Off is a word of Slurm here, and a boolean of YAML.
    SWITCH: lambda value: "OFF" if value is False else check_text(value),
    COUNT: lambda value: _whole(value, COUNT, ()),
    U16: lambda value: _whole(value, U16),
    U32: lambda value: _whole(value, U32),
    U64: lambda value: _whole(value, U64),
    MINUTES: lambda value: _whole(value, MINUTES),
    SECONDS: lambda value: _whole(value, SECONDS, ("NONE", "-1", *FOREVER)),
}


def written(value: t.Any, kind: t.Any = TEXT) -> str:
    """The value as Slurm reads it back, without quotes; RefusedError where it could not."""
    if kind != TEXT and (isinstance(value, Mapping) or value is None):
        check_text(value)
    text = _choice(value, kind) if isinstance(kind, tuple) else _KINDS[kind](value)
    return check_text(text)


def quoted(text: str) -> str:
    """The text in quotes if it needs them."""
    return f'"{text}"' if " " in text else text


def found(key: str, value: t.Any) -> str:
    """The value for a message; never a secret's."""
    if isinstance(value, Mapping) or value is None:
        return "a dictionary" if value is not None else "nothing"
    if _SECRET_KEY.search(key):
        return "(value not shown)"
    return repr(plain(value)) if not isinstance(value, int | float) or isinstance(value, bool) else str(value)
