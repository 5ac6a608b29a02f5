# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the answers of squeue, scontrol and sacct to jobs, for JSON of Slurm 23.02 to 26.05 and for text. Pure.

The JSON changes with each release: a state is a word or a list of words, a number is a number or a structure
{"set", "infinite", "number"}, a comment is text (squeue) or a structure (sacct). So nothing here trusts a type.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job, expand_path
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import find_comment
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.states import ENDED

_EMPTY_WORDS = {"", "(null)", "None", "N/A", "n/a", "Unknown", "None assigned"}
_BASE_STATES = ENDED | {"PENDING", "RUNNING", "SUSPENDED"}
_SCONTROL_PAIR = re.compile(r"(?:^|\s)([A-Za-z][\w:/]*)=(.*?)(?=\s+[A-Za-z][\w:/]*=|\s*$)")
_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)
_BOOT_TIME = re.compile(r"^BOOT_TIME\s*=\s*([0-9]+)\s*$", re.MULTILINE)


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
    submit_line = _text(raw.get("submit_line"))
    exit_code, signal_number = _exit(raw.get("exit_code"))
    group = _number(raw.get("array_job_id")) or _number(raw.get("het_job_id"))
    if not group:
        group = _number(_inside(raw.get("array"), "job_id")) or _number(_inside(raw.get("het"), "job_id"))
    return _finish(
        job_id=_number(raw.get("job_id")) or 0,
        name=_text(raw.get("name")),
        user=_text(_first(raw, "user_name", "user")),
        state=state,
        flags=flags,
        reason=_text(raw.get("state_reason") or _inside(raw.get("state"), "reason")),
        comment=_comment(raw.get("comment")) or find_comment(submit_line),
        nodes=_text(raw.get("nodes")),
        batch_host=_text(raw.get("batch_host")),
        submit_time=_time(_first(raw, "submit_time") or times.get("submission")),
        start_time=_time(_first(raw, "start_time") or times.get("start")),
        end_time=_time(_first(raw, "end_time") or times.get("end")),
        exit_code=exit_code,
        signal=signal_number,
        stdout=_text(_first(raw, "stdout_expanded", "standard_output", "stdout")),
        stderr=_text(_first(raw, "stderr_expanded", "standard_error", "stderr")),
        chdir=_text(_first(raw, "current_working_directory", "working_directory")),
        submit_line=submit_line,
        group_id=group or 0,
    )


def jobs_from_squeue_text(text: str) -> list[Job]:
    """The lines of squeue in the format of `command.SQUEUE_FIELDS`."""
    jobs = []
    for fields in _records(text, command.SQUEUE_FIELDS):
        state, flags = read_state(fields["state"])
        jobs.append(
            _finish(
                job_id=_number(fields["job_id"]) or 0,
                name=fields["name"],
                user=fields["user"],
                state=state,
                flags=flags,
                reason=_text(fields["reason"]),
                comment=_text(fields["comment"]),
                nodes=_text(fields["nodes"]),
                batch_host=_text(fields["batch_host"]),
                submit_time=_time(fields["submit_time"]),
                start_time=_time(fields["start_time"]),
                group_id=_number(fields["array_job_id"]) or 0,
            )
        )
    return jobs


def jobs_from_sacct_text(text: str) -> list[Job]:
    """The lines of sacct in the format of `command.SACCT_FIELDS`."""
    jobs = []
    for fields in _records(text, command.SACCT_FIELDS):
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
                reason=_text(fields["reason"]),
                comment=_text(fields["comment"]) or find_comment(fields["submit_line"]),
                nodes=_text(fields["nodes"]),
                submit_time=_time(fields["submit_time"]),
                start_time=_time(fields["start_time"]),
                end_time=_time(fields["end_time"]),
                exit_code=exit_code,
                signal=signal_number,
                chdir=_text(fields["chdir"]),
                submit_line=fields["submit_line"],
            )
        )
    return jobs


def jobs_from_scontrol_text(text: str) -> list[Job]:
    """The lines of `scontrol --oneliner show job`."""
    jobs = []
    for line in text.split("\n"):
        pairs = dict(_SCONTROL_PAIR.findall(line))
        if "JobId" not in pairs:
            continue
        state, flags = read_state(pairs.get("JobState", ""))
        exit_code, signal_number = _exit(pairs.get("ExitCode"))
        jobs.append(
            _finish(
                job_id=_number(pairs["JobId"].split(" ")[0]) or 0,
                name=pairs.get("JobName", ""),
                user=pairs.get("UserId", "").split("(")[0],
                state=state,
                flags=flags,
                reason=_text(pairs.get("Reason")),
                comment=_text(pairs.get("Comment")),
                nodes=_text(pairs.get("NodeList")),
                batch_host=_text(pairs.get("BatchHost")),
                exit_code=exit_code,
                signal=signal_number,
                stdout=_text(pairs.get("StdOut")),
                stderr=_text(pairs.get("StdErr")),
                chdir=_text(pairs.get("WorkDir")),
                submit_line=_text(pairs.get("SubmitLine")),
                group_id=_number(pairs.get("ArrayJobId")) or _number(pairs.get("HetJobId")) or 0,
            )
        )
    return jobs


def cluster_name(text: str) -> str | None:
    """The cluster's name in the answer of `scontrol show config`."""
    match = _CLUSTER_NAME.search(text)
    return match.group(1) if match else None


def boot_time(text: str) -> int | None:
    """When the controller was started, in the answer of `scontrol show config`."""
    match = _BOOT_TIME.search(text)
    return int(match.group(1)) if match else None


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
    base = next((word for word in words if word in _BASE_STATES), words[0] if words else "UNKNOWN")
    return base, tuple(word for word in words if word != base)


def _finish(**fields: t.Any) -> Job:
    """A job with the parts that do not stand in any answer: what is not yet known is None, log paths are filled in."""
    job = Job(**fields)
    changes: dict[str, t.Any] = {}
    if job.live:
        changes.update(exit_code=None, signal=None)
    # Without a path of its own, standard error goes where standard output goes.
    for name, path in (("stdout", job.stdout), ("stderr", job.stderr or job.stdout)):
        changes[name] = expand_path(
            path,
            job_id=job.job_id,
            name=job.name,
            user=job.user,
            chdir=job.chdir,
            batch_host=job.batch_host or job.nodes,
        )
    return Job(**{**fields, **changes})


def _records(text: str, fields: dict[str, str]) -> t.Iterator[dict[str, str]]:
    """Lines with all their fields; the rest of a comment with line breaks in it has too few and is left out."""
    for line in text.split("\n"):
        values = line.split(command.SEPARATOR, len(fields) - 1)
        if len(values) == len(fields):
            yield {name: values[index] for index, name in enumerate(fields)}


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


def _comment(value: t.Any) -> str:
    return _text(value.get("job") if isinstance(value, dict) else value)


def _number(value: t.Any) -> int | None:
    """A number, from a number, a structure or digits; None when unset, infinite or no number at all."""
    if isinstance(value, dict):
        return None if value.get("set") is False or value.get("infinite") else _number(value.get("number"))
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return int(value)
    return int(value) if re.fullmatch(r"[0-9]+", str(value)) else None


def _time(value: t.Any) -> int | None:
    # 0 stands for "not yet".
    return _number(value) or None


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
