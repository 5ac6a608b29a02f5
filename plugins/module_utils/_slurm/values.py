# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One value of an answer of Slurm's, whatever form it has there, and the job that they make together. Pure."""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job, expand_path
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.states import ENDED, WAITING_FLAGS

_EMPTY_WORDS = {"", "(null)", "None", "N/A", "n/a", "Unknown", "None assigned"}
_BASE_STATES = ENDED | {"PENDING", "RUNNING", "SUSPENDED"}
_STATE_OF_FLAG = {**dict.fromkeys(WAITING_FLAGS, "PENDING"), "CONFIGURING": "RUNNING"}
# An unlimited job ends this many seconds after its start, or more, which no clock of ours reaches.
_NEVER = 2**32 - 1


def state(value: t.Any) -> tuple[str, tuple[str, ...]]:
    """Base state and flags, from a word, several words, a list, or sacct's structure."""
    if isinstance(value, dict):
        value = value.get("current")
    words = value if isinstance(value, list) else re.split(r"[\s,+]+", str(value or ""))
    words = [str(word).upper() for word in words if word]
    base = next((word for word in words if word in _BASE_STATES), None)
    if base is None and words:
        # The text commands print some flags in the place of the state that goes with them.
        base = _STATE_OF_FLAG.get(words[0], words[0])
    return base or "UNKNOWN", tuple(word for word in words if word != base)


def finish(*, paths_are_final: bool = False, **fields: t.Any) -> Job:
    """A job with the parts that do not stand in any answer: what is not yet known is None, log paths are filled in."""
    job = Job(**fields)
    changes: dict[str, t.Any] = {}
    if job.live or job.turned_away:
        changes.update(exit_code=None, signal=None)
    elif job.signal and not job.exit_code:
        # Some answers say 0 here, which would read as success.
        changes.update(exit_code=None)
    # Without a path of its own, standard error goes where standard output goes.
    for name, path in (("stdout", job.stdout), ("stderr", job.stderr or job.stdout)):
        changes[name] = expand_path(
            path,
            job_id=job.job_id,
            name=job.name,
            user=job.user,
            chdir=job.chdir,
            batch_host=job.batch_host or job.nodes,
            array_job_id=job.group_id if job.array_task_id is not None else 0,
            array_task_id=job.array_task_id,
            patterns=not paths_are_final,
        )
    return Job(**{**fields, **changes})


def first(raw: dict[str, t.Any], *names: str) -> t.Any:
    return next((raw[name] for name in names if raw.get(name) not in (None, "")), None)


def text(value: t.Any) -> str:
    if isinstance(value, list):
        return ",".join(text(item) for item in value)
    if value is None or isinstance(value, dict):
        return ""
    return "" if str(value) in _EMPTY_WORDS else str(value)


def reason(value: t.Any) -> str:
    # The signal of RaisedSignal:9(Killed) has a field of its own.
    return text(value).partition(":")[0] if str(value).startswith("RaisedSignal:") else text(value)


def number(value: t.Any) -> int | None:
    """A number, from a number, a structure or digits; None when unset, infinite or no number at all."""
    if isinstance(value, dict):
        return None if value.get("set") is False or value.get("infinite") else number(value.get("number"))
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        # JSON of Slurm may hold the words NaN and Infinity.
        return int(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    return int(value) if re.fullmatch(r"[0-9]{1,20}", str(value)) else None


def moment(value: t.Any) -> int | None:
    # 0 stands for "not yet".
    seconds = number(value) or 0
    return seconds if 0 < seconds < _NEVER else None


def exit_status(value: t.Any) -> tuple[int | None, int | None]:
    """Exit code and signal, from a structure, from "1:9", or from a plain wait status."""
    if isinstance(value, dict):
        sign = value.get("signal")
        signal = number(first(sign, "id", "signal_id") if isinstance(sign, dict) else sign)
        return number(value.get("return_code")), signal or None
    match = re.fullmatch(r"([0-9]+):([0-9]+)", str(value or ""))
    if match:
        return int(match.group(1)), int(match.group(2)) or None
    status = number(value)
    return (None, None) if status is None else ((status >> 8) & 0xFF, (status & 0x7F) or None)
