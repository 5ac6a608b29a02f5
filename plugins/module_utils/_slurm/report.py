# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads: why a job is not where it should be, and what to do next. Pure."""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

TAIL_LINES = 20
# What to do about a job that waits, by the beginning of Slurm's reason.
_WAITING_HINTS = {
    "BeginTime": "It begins at a set time: one that was requeued waits some two minutes.",
    "JobHeldAdmin": "An administrator holds it: `scontrol release {job_id}` lets it go.",
    "JobHeldUser": "It is held: `scontrol release {job_id}` lets it go.",
    "job requeued in held state": "It is held: `scontrol release {job_id}` lets it go.",
    "Nodes required for job are DOWN": "Look at the nodes with `sinfo -R`.",
    "ReqNodeNotAvail": "Look at the nodes with `sinfo -R`.",
    "PartitionDown": "Look at the partition with `sinfo`.",
    "PartitionInactive": "Look at the partition with `sinfo`.",
    "PartitionTimeLimit": "Ask for less time (`time` in options), or for another partition.",
}
_FAR_START = r"to start at (?:2[1-9]|[3-9][0-9])[0-9]{2}-\S+"


def ended(job: Job, *, tried: str, tasks: Sequence[Job] = (), log: str = "") -> str:
    """The message for a job that ended and should not have, or not like that; of an array, one task speaks for all."""
    reason = f", reason {job.reason}" if job.reason else ""
    how = states.ending_in_words(job.state, job.exit_code, job.signal)
    it = "it"
    if tasks:
        failed = [task for task in tasks if not task.succeeded]
        it = f"{len(failed)} of its {len(tasks)} tasks did not succeed; task {job.array_task_id}"
    return f"{tried} {job.title} failed: {it} ended as {how}{reason}. {states.next_step(job.state)}{log}"


def log_tails(logs: dict[str, str | None], secrets: Iterable[str] = ()) -> str:
    """The ends of the job's log files; of a file that cannot be read here, where it is."""
    secrets = list(secrets)
    parts = []
    for path, text in logs.items():
        if text is None:
            parts.append(f"\nIts log {path} cannot be read on this host.")
        elif not text.strip():
            parts.append(f"\nIts log {path} is empty.")
        else:
            lines = mask(text, secrets).splitlines()[-TAIL_LINES:]
            parts.append("\n".join([f"\nThe last lines of {path}:", *lines]))
    return "".join(parts)


def too_long(job: Job, seconds: float, option: str) -> str:
    """The message for a job that used up the time of `option`."""
    waited = f"Waiting for {job.title} failed: it has been {job.state} for {seconds:.0f} seconds"
    if option == "run_timeout":
        return (
            f"{waited}, longer than run_timeout allows. The job goes on: see its log {job.stdout or ''}".rstrip()
            + ", or raise run_timeout and run this task again."
        )
    expected = f", expected start {_moment(job.start_time)}" if job.state == "PENDING" and job.start_time else ""
    hint = next((text for start, text in _WAITING_HINTS.items() if job.reason.startswith(start)), "")
    if job.state == "SUSPENDED":
        hint = "It is suspended: `scontrol resume {job_id}` lets it go on."
    hint = hint or "Look at `squeue --start --jobs={job_id}` and `sinfo`."
    return (
        f"{waited}, longer than {option} allows (Slurm's reason: {job.reason or 'none given'}{expected}). "
        f"The job stays in the queue. {hint.format(job_id=job.job_id)} Or raise {option}."
    )


def readable_start(answer: str) -> str:
    """The answer of a test submission; a start centuries away is Slurm's way to say that it cannot tell."""
    return re.sub(_FAR_START, "to start at a time that cannot be told yet", answer)


def hopeless(job: Job) -> str:
    return (
        f"Waiting for {job.title} failed: it can never start (Slurm's reason: {job.reason}). "
        "Change its options to what the cluster has, then run this task again."
    )


def forgotten(job: Job) -> str:
    return (
        f"Waiting for {job.title} failed: the controller no longer knows the job and accounting has no record of it, "
        f"so how it ended cannot be told (last seen as {job.state}). "
        "See its log, and run this task again: the job is submitted anew."
    )


def not_cancelled(jobs: Iterable[Job], seconds: float) -> str:
    left = ", ".join(f"{job.title} as {job.state}" for job in jobs)
    return (
        f"Cancelling failed: after {seconds:.0f} seconds there is still {left}. "
        "Look at the node with `scontrol show node`; a node that does not answer keeps its jobs until it is set down."
    )


def change_refused(job: Job, differs: str) -> str:
    return (
        f"Changing {job.title} failed: it is {job.state} and differs in {differs}, and on_change is fail. "
        "Set on_change to replace (cancel it and submit anew) or keep (leave it), or cancel it with state=absent."
    )


def doubles(jobs: Iterable[Job], kept: Job) -> str:
    ids = ", ".join(str(job.job_id) for job in jobs)
    return f"More than one job of this name was live; job {kept.job_id} is kept, cancelled: {ids}."


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))
