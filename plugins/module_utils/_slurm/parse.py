# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the answers of squeue, scontrol and sacct to jobs, for JSON of Slurm 23.02 to 26.05 and for text. Pure.

The JSON changes with each release: a state is a word or a list of words, a number is a number or a structure
{"set", "infinite", "number"}, a comment is text (squeue) or a structure (sacct). So nothing here trusts a type.
"""

from __future__ import annotations

import json
import math
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job, expand_path
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import find_comment
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.states import ENDED, WAITING_FLAGS

if t.TYPE_CHECKING:
    from collections.abc import Iterable

_EMPTY_WORDS = {"", "(null)", "None", "N/A", "n/a", "Unknown", "None assigned"}
_BASE_STATES = ENDED | {"PENDING", "RUNNING", "SUSPENDED"}
_STATE_OF_FLAG = {**dict.fromkeys(WAITING_FLAGS, "PENDING"), "CONFIGURING": "RUNNING"}
# An unlimited job ends this many seconds after its start, or more, which no clock of ours reaches.
_NEVER = 2**32 - 1
_SCONTROL_START = re.compile(r"^(?=JobId=[0-9]+ )", re.MULTILINE)
_SCONTROL_HEAD = re.compile(
    r"JobId=(?P<job_id>[0-9]+)(?: ArrayJobId=(?P<array>[0-9]+) ArrayTaskId=(?P<task>\S+))?"
    r"(?: ArrayTaskThrottle=[0-9]+)?(?: HetJobId=(?P<het>[0-9]+) HetJobOffset=[0-9]+)?"
    r" JobName=(?P<name>.*?)(?: HetJobIdSet=\S+)? UserId=(?P<user>[^\s(]+)\([0-9]+\)(?= GroupId=)",
    re.DOTALL,
)
_SCONTROL_PAIR = re.compile(r"(?:^|\s)([A-Za-z][\w:/]*)=(.*?)(?=\s+[A-Za-z][\w:/]*=|\s*$)")
_BOOT_TIME = re.compile(r"^BOOT_TIME\s*=\s*(\S+)", re.MULTILINE)
_STATE_FOLDER = re.compile(r"^StateSaveLocation\s*=\s*(/\S+)", re.MULTILINE)
# What may follow the path of standard output.
_SCONTROL_AFTER = r" (?:(?:Tres|CpusPerTres|MemPerTres|NtasksPerTRES|Mail)\w*|Power)="
_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)


class ParseError(ValueError):
    """The answer is not what this command says when it works."""


def jobs_from_json(text: str) -> list[Job]:
    """The jobs of `squeue --json`, `scontrol --json show job` or `sacct --json`."""
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise ParseError(f"no JSON ({error})") from error
    jobs = answer.get("jobs") if isinstance(answer, dict) else None
    if not isinstance(jobs, list):
        raise ParseError("no list of jobs in the JSON")
    if answer.get("errors"):
        raise ParseError(f"errors reported in the JSON: {_errors(answer['errors'])}")
    return [_job(raw) for raw in jobs if isinstance(raw, dict)]


def _errors(errors: t.Any) -> str:
    found = errors if isinstance(errors, list) else [errors]
    return "; ".join(
        str(error.get("description") or error.get("error") or error) if isinstance(error, dict) else str(error)
        for error in found
    )


def _job(raw: dict[str, t.Any]) -> Job:
    state, flags = read_state(_first(raw, "job_state", "state"))
    times = raw["time"] if isinstance(raw.get("time"), dict) else {}
    submit_line = _words(raw.get("submit_line"))
    exit_code, signal_number = _exit(raw.get("exit_code"))
    group = _number(raw.get("array_job_id")) or _number(raw.get("het_job_id"))
    if not group:
        group = _number(_inside(raw.get("array"), "job_id")) or _number(_inside(raw.get("het"), "job_id"))
    return _finish(
        job_id=_number(raw.get("job_id")) or 0,
        name=_words(raw.get("name")),
        user=_words(_first(raw, "user_name", "user")),
        state=state,
        flags=flags,
        # The text commands show the description where there is one; so does this.
        reason=_reason(_first(raw, "state_description", "state_reason") or _inside(raw.get("state"), "reason")),
        comment=_comment(raw.get("comment")) or find_comment(submit_line),
        nodes=_text(raw.get("nodes")),
        batch_host=_text(raw.get("batch_host")),
        submit_time=_time(_first(raw, "submit_time") or times.get("submission")),
        start_time=_time(_first(raw, "start_time") or times.get("start")),
        end_time=_time(_first(raw, "end_time") or times.get("end")),
        exit_code=exit_code,
        signal=signal_number,
        stdout=_words(_first(raw, "stdout_expanded", "standard_output", "stdout")),
        stderr=_words(_first(raw, "stderr_expanded", "standard_error", "stderr")),
        chdir=_words(_first(raw, "current_working_directory", "working_directory")),
        paths_are_final="stdout_expanded" in raw,
        submit_line=submit_line,
        group_id=group or 0,
        array_task_id=_number(_first(raw, "array_task_id") or _inside(raw.get("array"), "task_id")),
    )


def jobs_from_squeue_text(text: str, separator: str = command.SEPARATOR) -> list[Job]:
    """The answer of squeue in the format of `command.SQUEUE_FIELDS`."""
    jobs = []
    for fields in _records(text, command.SQUEUE_FIELDS, separator):
        state, flags = read_state(fields["state"])
        jobs.append(
            _finish(
                job_id=_number(fields["job_id"]) or 0,
                name=fields["name"],
                user=fields["user"],
                state=state,
                flags=flags,
                reason=_reason(fields["reason"]),
                comment=_text(fields["comment"]),
                nodes=_text(fields["nodes"]),
                batch_host=_text(fields["batch_host"]),
                submit_time=_time(fields["submit_time"]),
                start_time=_time(fields["start_time"]),
                group_id=_group(fields["shown_id"]),
            )
        )
    return jobs


def jobs_from_sacct_text(text: str, separator: str = command.SEPARATOR) -> list[Job]:
    """The answer of sacct in the format of `command.SACCT_FIELDS`."""
    jobs = []
    for fields in _records(text, command.SACCT_FIELDS, separator):
        # "CANCELLED by 0" names who did it.
        state, flags = read_state(fields["state"].split(" ")[0].rstrip("+"))
        exit_code, signal_number = _exit(fields["exit_code"])
        jobs.append(
            _finish(
                job_id=_number(fields["job_id"]) or 0,
                name=fields["name"],
                user=fields["user"],
                state=state,
                flags=flags,
                reason=_reason(fields["reason"]),
                comment=_text(fields["comment"]) or find_comment(fields["submit_line"]),
                nodes=_text(fields["nodes"]),
                submit_time=_time(fields["submit_time"]),
                start_time=_time(fields["start_time"]),
                end_time=_time(fields["end_time"]),
                exit_code=exit_code,
                signal=signal_number,
                chdir=fields["chdir"],
                submit_line=fields["submit_line"],
                group_id=_group(fields["shown_id"]),
            )
        )
    return jobs


def jobs_from_scontrol_text(text: str) -> list[Job]:
    """The lines of `scontrol --oneliner show job`."""
    jobs = []
    for record in _SCONTROL_START.split(text):
        match = _SCONTROL_HEAD.match(record)
        if not match:
            continue
        # State and numbers are read from before the command, where nothing is that a user could word.
        head, _mark, words = record[match.end() :].partition(" Command=")
        pairs = dict(_SCONTROL_PAIR.findall(head))
        told = _scontrol_words(words)
        state, flags = read_state(pairs.get("JobState", ""))
        exit_code, signal_number = _exit(pairs.get("ExitCode"))
        jobs.append(
            _finish(
                job_id=_number(match["job_id"]) or 0,
                name=match["name"],
                user=match["user"],
                state=state,
                flags=flags,
                # scontrol writes the spaces of a reason as underscores.
                reason=_reason(pairs.get("Reason", "").replace("_", " ")),
                comment=told["comment"],
                nodes=_text(pairs.get("NodeList")),
                batch_host=_text(pairs.get("BatchHost")),
                submit_time=_time(pairs.get("SubmitTime")),
                start_time=_time(pairs.get("StartTime")),
                end_time=_time(pairs.get("EndTime")),
                exit_code=exit_code,
                signal=signal_number,
                stdout=told["stdout"],
                stderr=told["stderr"],
                paths_are_final=True,
                chdir=told["chdir"],
                submit_line=told["submit_line"],
                group_id=_number(match["array"]) or _number(match["het"]) or 0,
                array_task_id=_number(match["task"]),
            )
        )
    return jobs


def _scontrol_words(text: str) -> dict[str, str]:
    """The fields of scontrol that hold what a user wrote, from the command on.

    They are printed as they are: `WorkDir=/a b=c` is a directory, and a submit line may hold any word. Their order is
    fixed, so the last WorkDir= after the arguments is the real one.
    """
    command_line, _mark, rest = text.rpartition(" WorkDir=")
    place, _mark, logs = rest.partition(" StdErr=")
    comment = re.split(r" Extra=", place.partition(" Comment=")[2])[0]
    stderr, _mark, rest = logs.partition(" StdIn=")
    return {
        "submit_line": command_line.partition(" SubmitLine=")[2],
        "chdir": re.split(r" (?:AdminComment|SystemComment|Comment|Extra)=", place)[0].rstrip("\n"),
        "comment": _text(comment.strip()),
        "stderr": _text(stderr),
        "stdout": _text(re.split(_SCONTROL_AFTER, rest.partition(" StdOut=")[2])[0].rstrip()),
    }


def cluster_name(text: str) -> str | None:
    """The cluster's name in the answer of `scontrol show config`."""
    match = _CLUSTER_NAME.search(text)
    return match.group(1) if match else None


def boot_time(text: str) -> str:
    """When the controller started, as it says in `scontrol show config`; only to be compared."""
    match = _BOOT_TIME.search(text)
    return match.group(1) if match else ""


def state_file(text: str) -> str | None:
    """The file in which the controller saves its jobs, from `scontrol show config`."""
    match = _STATE_FOLDER.search(text)
    return f"{match.group(1)}/job_state" if match else None


def submitted_job_id(text: str) -> int | None:
    """The id in the answer of `sbatch --parsable`, "id" or "id;cluster"; None when there is none to be read."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    match = re.fullmatch(r"([1-9][0-9]*)(?:;\S+)?", lines[-1]) if lines else None
    return int(match.group(1)) if match else None


def read_state(value: t.Any) -> tuple[str, tuple[str, ...]]:
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


def _finish(*, paths_are_final: bool = False, **fields: t.Any) -> Job:
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


def _records(text: str, fields: Iterable[str], separator: str) -> t.Iterator[dict[str, str]]:
    """The records of a text: as many fields each as `fields` has, the last one ended by a line break.

    A name, a comment or a submit line holds whatever somebody put there, line breaks included. So records are counted
    off by their separators, which nobody can guess; what is no whole record is left out.
    """
    names = list(fields)
    parts = text.split(separator)
    whole, rest = divmod(len(parts) - 1, len(names) - 1)
    if rest:
        del parts[whole * (len(names) - 1) + 1 :]
    # The part between two records is the last field of one, a line break, and the first field (a number) of the next.
    first = parts[0].rpartition("\n")[2]
    for index in range(whole):
        start = index * (len(names) - 1)
        *values, end = parts[start + 1 : start + len(names)]
        last, _mark, following = end.rpartition("\n")
        yield dict(zip(names, [first, *values, last]))
        first = following


def _first(raw: dict[str, t.Any], *names: str) -> t.Any:
    return next((raw[name] for name in names if raw.get(name) not in (None, "")), None)


def _inside(value: t.Any, name: str) -> t.Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: t.Any) -> str:
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)
    if value is None or isinstance(value, dict):
        return ""
    return "" if str(value) in _EMPTY_WORDS else str(value)


def _words(value: t.Any) -> str:
    """What somebody wrote, as it is: a job may be named None, and JSON has null for what is not there."""
    return value if isinstance(value, str) else _text(value)


def _comment(value: t.Any) -> str:
    return _words(value.get("job") if isinstance(value, dict) else value)


def _reason(value: t.Any) -> str:
    # The signal of RaisedSignal:9(Killed) has a field of its own.
    return _text(value).partition(":")[0] if str(value).startswith("RaisedSignal:") else _text(value)


def _group(shown_id: str) -> int:
    """The number before the _ of an array's task or the + of a part of a heterogeneous job."""
    return _number(re.split(r"[_+]", shown_id)[0]) or 0


def _number(value: t.Any) -> int | None:
    """A number, from a number, a structure or digits; None when unset, infinite or no number at all."""
    if isinstance(value, dict):
        return None if value.get("set") is False or value.get("infinite") else _number(value.get("number"))
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        # JSON of Slurm may hold the words NaN and Infinity.
        return int(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    return int(value) if re.fullmatch(r"[0-9]{1,20}", str(value)) else None


def _time(value: t.Any) -> int | None:
    # 0 stands for "not yet".
    seconds = _number(value) or 0
    return seconds if 0 < seconds < _NEVER else None


def _exit(value: t.Any) -> tuple[int | None, int | None]:
    """Exit code and signal, from a structure, from "1:9", or from a plain wait status."""
    if isinstance(value, dict):
        sign = value.get("signal")
        number = _number(_first(sign, "id", "signal_id")) if isinstance(sign, dict) else _number(sign)
        return _number(value.get("return_code")), number or None
    match = re.fullmatch(r"([0-9]+):([0-9]+)", str(value or ""))
    if match:
        return int(match.group(1)), int(match.group(2)) or None
    status = _number(value)
    return (None, None) if status is None else ((status >> 8) & 0xFF, (status & 0x7F) or None)
