# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the JSON of squeue, scontrol and sacct to jobs, for Slurm 23.02 to 26.05, and what other answers hold. Pure.

The JSON changes with each release: a state is a word or a list of words, a number is a number or a structure
{"set", "infinite", "number"}, a comment is text (squeue) or a structure (sacct). So nothing here trusts a type.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import find_comment

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job


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
    state, flags = values.state(values.first(raw, "job_state", "state"))
    times = raw["time"] if isinstance(raw.get("time"), dict) else {}
    submit_line = _words(raw.get("submit_line"))
    exit_code, signal_number = values.exit_status(raw.get("exit_code"))
    group = values.number(raw.get("array_job_id")) or values.number(raw.get("het_job_id"))
    if not group:
        group = values.number(_inside(raw.get("array"), "job_id")) or values.number(_inside(raw.get("het"), "job_id"))
    return values.finish(
        job_id=values.number(raw.get("job_id")) or 0,
        name=_words(raw.get("name")),
        user=_words(values.first(raw, "user_name", "user")),
        state=state,
        flags=flags,
        # The text commands show the description where there is one; so does this.
        reason=values.reason(
            values.first(raw, "state_description", "state_reason") or _inside(raw.get("state"), "reason")
        ),
        comment=_comment(raw.get("comment")) or find_comment(submit_line),
        nodes=values.text(raw.get("nodes")),
        batch_host=values.text(raw.get("batch_host")),
        submit_time=values.moment(values.first(raw, "submit_time") or times.get("submission")),
        start_time=values.moment(values.first(raw, "start_time") or times.get("start")),
        end_time=values.moment(values.first(raw, "end_time") or times.get("end")),
        exit_code=exit_code,
        signal=signal_number,
        stdout=_words(values.first(raw, "stdout_expanded", "standard_output", "stdout")),
        stderr=_words(values.first(raw, "stderr_expanded", "standard_error", "stderr")),
        chdir=_words(values.first(raw, "current_working_directory", "working_directory")),
        paths_are_final="stdout_expanded" in raw,
        submit_line=submit_line,
        group_id=group or 0,
        array_task_id=values.number(values.first(raw, "array_task_id") or _inside(raw.get("array"), "task_id")),
        cluster=_words(raw.get("cluster")),
    )


def cluster_name(text: str) -> str | None:
    """The cluster's name in the answer of `scontrol show config`."""
    match = re.search(r"(?m)^ClusterName\s*=\s*(\S+)", text)
    return match.group(1) if match else None


def boot_time(text: str) -> str:
    """When the controller started, as it says in `scontrol show config`; only to be compared."""
    match = re.search(r"(?m)^BOOT_TIME\s*=\s*(\S+)", text)
    return match.group(1) if match else ""


def state_file(text: str) -> str | None:
    """The file in which the controller saves its jobs, from `scontrol show config`."""
    match = re.search(r"(?m)^StateSaveLocation\s*=\s*(/\S+)", text)
    return f"{match.group(1)}/job_state" if match else None


def submitted_job_id(text: str) -> int | None:
    """The id in the answer of `sbatch --parsable`, "id" or "id;cluster"; None when there is none to be read."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    match = re.fullmatch(r"([1-9][0-9]*)(?:;\S+)?", lines[-1]) if lines else None
    return int(match.group(1)) if match else None


def _inside(value: t.Any, name: str) -> t.Any:
    return value.get(name) if isinstance(value, dict) else None


def _words(value: t.Any) -> str:
    """What somebody wrote, as it is: a job may be named None, and JSON has null for what is not there."""
    return value if isinstance(value, str) else values.text(value)


def _comment(value: t.Any) -> str:
    return _words(value.get("job") if isinstance(value, dict) else value)
