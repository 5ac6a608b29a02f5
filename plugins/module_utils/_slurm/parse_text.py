# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the text of squeue, scontrol and sacct to jobs: for cheap looks, and where there is no JSON. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import find_comment

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

_SCONTROL_HEAD = (
    r"(?s)JobId=(?P<job_id>[0-9]+)(?: ArrayJobId=(?P<array>[0-9]+) ArrayTaskId=(?P<task>\S+))?"
    r"(?: ArrayTaskThrottle=[0-9]+)?(?: HetJobId=(?P<het>[0-9]+) HetJobOffset=[0-9]+)?"
    r" JobName=(?P<name>.*?)(?: HetJobIdSet=\S+)? UserId=(?P<user>[^\s(]+)\([0-9]+\)(?= GroupId=)"
)
_SCONTROL_PAIR = r"(?:^|\s)([A-Za-z][\w:/]*)=(.*?)(?=\s+[A-Za-z][\w:/]*=|\s*$)"
# What may follow the path of standard output.
_SCONTROL_AFTER = r" (?:(?:Tres|CpusPerTres|MemPerTres|NtasksPerTRES|Mail)\w*|Power)="


def jobs_from_squeue(text: str, separator: str = command.SEPARATOR) -> list[Job]:
    """The answer of squeue in the format of `command.SQUEUE_FIELDS`."""
    jobs = []
    for fields in _records(text, command.SQUEUE_FIELDS, separator):
        state, flags = values.state(fields["state"])
        jobs.append(
            values.finish(
                **_shared(fields),
                state=state,
                flags=flags,
                comment=values.text(fields["comment"]),
                batch_host=values.text(fields["batch_host"]),
            )
        )
    return jobs


def jobs_from_sacct(text: str, separator: str = command.SEPARATOR) -> list[Job]:
    """The answer of sacct in the format of `command.SACCT_FIELDS`."""
    jobs = []
    for fields in _records(text, command.SACCT_FIELDS, separator):
        # "CANCELLED by 0" names who did it.
        state, flags = values.state(fields["state"].split(" ")[0].rstrip("+"))
        exit_code, signal_number = values.exit_status(fields["exit_code"])
        jobs.append(
            values.finish(
                **_shared(fields),
                state=state,
                flags=flags,
                comment=values.text(fields["comment"]) or find_comment(fields["submit_line"]),
                end_time=values.moment(fields["end_time"]),
                exit_code=exit_code,
                signal=signal_number,
                chdir=fields["chdir"],
                submit_line=fields["submit_line"],
            )
        )
    return jobs


def _shared(fields: dict[str, str]) -> dict[str, t.Any]:
    """What squeue and sacct tell in the same form."""
    return {
        "job_id": values.number(fields["job_id"]) or 0,
        "name": fields["name"],
        "user": fields["user"],
        "reason": values.reason(fields["reason"]),
        "nodes": values.text(fields["nodes"]),
        "submit_time": values.moment(fields["submit_time"]),
        "start_time": values.moment(fields["start_time"]),
        "group_id": _group(fields["shown_id"]),
    }


def jobs_from_scontrol(text: str) -> list[Job]:
    """The lines of `scontrol --oneliner show job`."""
    jobs = []
    for record in re.split(r"(?m)^(?=JobId=[0-9]+ )", text):
        match = re.match(_SCONTROL_HEAD, record)
        if not match:
            continue
        # State and numbers are read from before the command, where nothing is that a user could word.
        head, _mark, words = record[match.end() :].partition(" Command=")
        pairs = dict(re.findall(_SCONTROL_PAIR, head))
        told = _scontrol_words(words)
        state, flags = values.state(pairs.get("JobState", ""))
        exit_code, signal_number = values.exit_status(pairs.get("ExitCode"))
        jobs.append(
            values.finish(
                job_id=values.number(match["job_id"]) or 0,
                name=match["name"],
                user=match["user"],
                state=state,
                flags=flags,
                # scontrol writes the spaces of a reason as underscores.
                reason=values.reason(pairs.get("Reason", "").replace("_", " ")),
                comment=told["comment"],
                nodes=values.text(pairs.get("NodeList")),
                batch_host=values.text(pairs.get("BatchHost")),
                submit_time=values.moment(pairs.get("SubmitTime")),
                start_time=values.moment(pairs.get("StartTime")),
                end_time=values.moment(pairs.get("EndTime")),
                exit_code=exit_code,
                signal=signal_number,
                stdout=told["stdout"],
                stderr=told["stderr"],
                paths_are_final=True,
                chdir=told["chdir"],
                submit_line=told["submit_line"],
                group_id=values.number(match["array"]) or values.number(match["het"]) or 0,
                array_task_id=values.number(match["task"]),
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
        "comment": values.text(comment.strip()),
        "stderr": values.text(stderr),
        "stdout": values.text(re.split(_SCONTROL_AFTER, rest.partition(" StdOut=")[2])[0].rstrip()),
    }


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


def _group(shown_id: str) -> int:
    """The number before the _ of an array's task or the + of a part of a heterogeneous job."""
    return values.number(re.split(r"[_+]", shown_id)[0]) or 0


# By the command that answered.
READERS: dict[str, Callable[[str], list[Job]]] = {
    "sacct": jobs_from_sacct,
    "scontrol": jobs_from_scontrol,
    "squeue": jobs_from_squeue,
}
