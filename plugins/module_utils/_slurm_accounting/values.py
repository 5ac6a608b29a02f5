# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of accounting as Slurm keeps them: read from what a person writes or sacctmgr prints, written for sacctmgr.

One reader for both sides, so that the two can be compared. None is "no limit". Pure.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Callable

UNLIMITED = ("", "-1", "infinite", "none", "unlimited")
# In a mapping of TRES: this stands for all that the mapping does not name.
ALL_OTHERS = "*"
FLAGS = (
    "DenyOnLimit",
    "EnforceUsageThreshold",
    "NoDecay",
    "NoReserve",
    "OverPartQOS",
    "PartitionMaxNodes",
    "PartitionMinNodes",
    "PartitionTimeLimit",
    "Relative",
    "RequiresReservation",
    "UsageFactorSafe",
)
ADMIN_LEVELS = {
    "none": "None",
    "not set": "None",
    "operator": "Operator",
    "administrator": "Administrator",
    "admin": "Administrator",
}
PREEMPT_MODES = ("cancel", "cluster", "gang", "off", "priority", "requeue", "suspend", "within")

_LARGEST = 2**64 - 3
_UNITS = {"": 1, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3, "E": 1024**4}
_AMOUNT = re.compile(r"(\d+)(?:\.0+)?([MGTPE]?)", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_TRES_NAME = re.compile(r"[A-Za-z0-9][^\s,='\"|]*")
_FREE_TEXT = re.compile(r"[^\x00-\x1f\x7f\"'|]*")


class BadValueError(ValueError):
    """The message says what is allowed."""


@dataclass(frozen=True)
class Kind:
    """How one kind of value is read and written.

    `write` gets what is there as well, because sacctmgr changes one TRES of a limit and leaves the others.
    """

    read: Callable[[t.Any], t.Any]
    write: Callable[[t.Any, t.Any], str]
    show: Callable[[t.Any], t.Any]
    # What sacctmgr prints, where more is there than may be declared.
    parse: Callable[[str], t.Any] | None = None

    def parsed(self, printed: str) -> t.Any:
        return (self.parse or self.read)(printed)

    def settle(self, have: t.Any, want: t.Any, *, purge: bool) -> t.Any:
        """What the value shall be."""
        if not isinstance(want, dict):
            return want
        kept = {} if purge or ALL_OTHERS in want else have
        merged = {**kept, **want}
        return {name: amount for name, amount in merged.items() if amount is not None}


def _is_unlimited(value: t.Any) -> bool:
    return value is None or (not isinstance(value, bool) and str(value).strip().lower() in UNLIMITED)


def _whole(value: t.Any, allowed: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d+", text, re.ASCII) or int(text) > _LARGEST:
        raise BadValueError(allowed)
    return int(text)


def read_count(value: t.Any) -> int | None:
    return None if _is_unlimited(value) else _whole(value, "a whole number, or null for no limit")


def read_number(value: t.Any) -> int:
    """Like a count, where Slurm's own value is 0 and there is no "none"."""
    return 0 if _is_unlimited(value) else _whole(value, "a whole number")


def _read_time(value: t.Any, *, bare: int, allowed: str) -> int | None:
    """Seconds; a bare number counts `bare` seconds."""
    if _is_unlimited(value):
        return None
    found = None if isinstance(value, bool) else _TIME.fullmatch(str(value).strip())
    if not found:
        raise BadValueError(allowed)
    days, *parts = (None if part is None else int(part) for part in found.groups())
    given = [part for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = [*given, 0, 0][:3]
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(given) == 1:
        return given[0] * bare
    hours, minutes, seconds = ([0, *given] if len(given) == 2 else given)[:3]
    return (hours * 60 + minutes) * 60 + seconds


def read_minutes(value: t.Any) -> int | None:
    """Slurm keeps whole minutes and rounds up."""
    seconds = _read_time(value, bare=60, allowed='minutes, or a quoted time such as "1-12:00:00", or null for no limit')
    return None if seconds is None else -(-seconds // 60)


def read_seconds(value: t.Any) -> int | None:
    return _read_time(value, bare=1, allowed='seconds, or a quoted time such as "00:05:00"')


def read_grace(value: t.Any) -> int:
    return read_seconds(value) or 0


def read_tres(value: t.Any) -> dict[str, int | None]:
    """Amounts by name. A None in a declaration takes that limit away; None instead of all takes all away."""
    allowed = 'names and amounts such as {"gres/gpu": 8, "mem": "64G"}, with null for no limit'
    if value is None or value == "":
        return {ALL_OTHERS: None} if value is None else {}
    if isinstance(value, str):
        words = [word.partition("=") for word in value.split(",") if word.strip()]
        if not all(equals for _name, equals, _amount in words):
            raise BadValueError(allowed)
        pairs = [(name, amount) for name, _equals, amount in words]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        raise BadValueError(allowed)
    amounts: dict[str, int | None] = {}
    for given_name, amount in pairs:
        name = str(given_name).strip()
        if not _TRES_NAME.fullmatch(name) or name in amounts:
            raise BadValueError(allowed)
        amounts[name] = None if _is_unlimited(amount) else _read_amount(amount, allowed)
    return amounts


def _read_amount(amount: t.Any, allowed: str) -> int:
    found = None if isinstance(amount, bool) else _AMOUNT.fullmatch(str(amount).strip())
    if not found:
        raise BadValueError(allowed)
    number = int(found.group(1)) * _UNITS[found.group(2).upper()]
    return _whole(number, allowed)


def read_names(value: t.Any) -> tuple[str, ...]:
    """Names without their order, which means nothing to Slurm."""
    if value is None:
        return ()
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        raise BadValueError("a list of names")
    found = sorted({str(name).strip() for name in names} - {""})
    if any(re.search(r"[\s,='\"|]", name) for name in found):
        raise BadValueError("a list of names, without commas, quotes or spaces in them")
    return tuple(found)


def read_flags(value: t.Any) -> tuple[str, ...]:
    known = {flag.lower(): flag for flag in FLAGS}
    return tuple(sorted(known.get(name.lower(), name) for name in read_names(value)))


def read_fairshare(value: t.Any) -> int | str:
    if _is_unlimited(value):
        return 1
    if str(value).strip().lower() == "parent":
        return "parent"
    return _whole(value, "a whole number, or parent")


def read_factor(value: t.Any) -> float | None:
    if _is_unlimited(value):
        return None
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        # Slurm prints six digits.
        factor = round(float(str(value)), 6)
    except ValueError:
        factor = -1.0
    if not 0 <= factor < _LARGEST:
        raise BadValueError("a number of at least 0")
    return factor


def read_usage_factor(value: t.Any) -> float:
    factor = read_factor(value)
    return 1.0 if factor is None else factor


def read_text(value: t.Any) -> str:
    """Slurm keeps these texts in lower case."""
    text = "" if value is None else str(value)
    if not text or not _FREE_TEXT.fullmatch(text) or text != text.strip():
        raise BadValueError("one line of text without quotes, bars and spaces at its ends")
    return text.lower()


def read_name(value: t.Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return None if text in ("", "-1") else text


def read_account(value: t.Any) -> str:
    name = read_name(value)
    if name is None:
        raise BadValueError("the name of an account")
    return name


def read_admin_level(value: t.Any) -> str:
    level = ADMIN_LEVELS.get(str(value or "none").strip().lower())
    if level is None:
        raise BadValueError("none, operator or administrator")
    return level


def read_preempt_mode(value: t.Any) -> tuple[str, ...]:
    modes = {name.lower() for name in read_names(value)}
    if modes - set(PREEMPT_MODES):
        raise BadValueError(f"one or several of {', '.join(PREEMPT_MODES)}")
    # Three ways to say that the cluster's own mode holds.
    return tuple(sorted(modes - {"off", "cluster"})) or ("cluster",)


def clock(seconds: int) -> str:
    """The way in which Slurm prints a time."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{f'{days}-' if days else ''}{hour:02}:{minute:02}:{second:02}"


def _plain(_have: t.Any, value: t.Any) -> str:
    return "-1" if value is None else str(value)


def _listed(_have: t.Any, value: tuple[str, ...]) -> str:
    return ",".join(value)


def _flags(_have: t.Any, value: tuple[str, ...]) -> str:
    return ",".join(value) or "-1"


def _tres(have: dict[str, int], value: dict[str, int]) -> str:
    changed = {name: value.get(name, -1) for name in {**have, **value} if have.get(name) != value.get(name)}
    return ",".join(f"{name}={amount}" for name, amount in sorted(changed.items()))


def _text(_have: t.Any, value: str) -> str:
    return value


def _as_it_is(value: t.Any) -> t.Any:
    return "unlimited" if value is None else value


def _show_minutes(value: int | None) -> str:
    return "unlimited" if value is None else clock(value * 60)


def _show_seconds(value: int | None) -> str:
    return "unlimited" if value is None else clock(value)


def _show_list(value: tuple[str, ...]) -> list[str]:
    return list(value)


def _show_unset(value: t.Any) -> t.Any:
    return "unset" if value is None else value


def _clocked(_have: t.Any, value: int | None) -> str:
    return "-1" if value is None else clock(value)


COUNT = Kind(read_count, _plain, _as_it_is)
NUMBER = Kind(read_number, _plain, _as_it_is)
MINUTES = Kind(read_minutes, _plain, _show_minutes)
# sacctmgr takes a bare number for minutes here.
SECONDS = Kind(read_seconds, _clocked, _show_seconds)
GRACE = Kind(read_grace, _plain, _show_seconds)
TRES = Kind(read_tres, _tres, dict)
NAMES = Kind(read_names, _listed, _show_list)
NAME_FLAGS = Kind(read_flags, _flags, _show_list)
FAIRSHARE = Kind(read_fairshare, _plain, _as_it_is)
FACTOR = Kind(read_factor, _plain, _show_unset)
USAGE_FACTOR = Kind(read_usage_factor, _plain, _as_it_is)
TEXT = Kind(read_text, _text, _as_it_is, str.lower)
NAME = Kind(read_name, _plain, _show_unset)
ACCOUNT = Kind(read_account, _plain, _show_unset, read_name)
ADMIN_LEVEL = Kind(read_admin_level, _plain, _as_it_is)
PREEMPT_MODE = Kind(read_preempt_mode, _listed, _show_list)
