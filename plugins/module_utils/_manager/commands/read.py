# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logs: what the engine says, while it runs and after."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    OK,
    UNKNOWN,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.logs import (
    Follower,
    follow_on_node,
    last_lines,
    paths_of,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import Colour, harmless
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

# Slurm is asked whether the job still runs no oftener than this.
ASK_SECONDS = 3.0


def logs(context: Context) -> Exit:
    args = context.args
    job = context.target_job(args.target, "batch" if args.batch else "serve")
    if job is None:
        raise ManagerError(
            f"Reading the logs of {args.target} failed: Slurm remembers no job of it. Older logs are in "
            f"{context.host.settings.jobs_dir}/outputs; `vllm-manager serve {args.target}` starts one.",
            UNKNOWN,
        )
    paths = [path for path in paths_of(job) if not args.errors or path == job.stderr]
    if args.path:
        for path in paths:
            context.screen.say(path)
        context.screen.result({"job_id": job.job_id, "nodes": job.nodes or None, "paths": paths})
        return OK
    found = {path: text for path, text in context.logs().read(job).items() if path in paths}
    if all(text is None for text in found.values()):
        raise _unreadable(context, job)
    if context.screen.as_json:
        shown = {path: last_lines(text, args.lines) for path, text in found.items() if text is not None}
        context.screen.result({"job_id": job.job_id, "state": job.state, "nodes": job.nodes or None, "logs": shown})
        return OK
    _show(context, job, found)
    if args.follow:
        _follow(context, job, paths)
    return OK


def _unreadable(context: Context, job: Job) -> ManagerError:
    if job.phase == states.QUEUED:
        return ManagerError(
            f"Reading the logs of job {job.job_id} failed: it has not started yet ({job.reason or job.state}). "
            "`vllm-manager status` shows the queue.",
            UNKNOWN,
        )
    where = job.batch_host or job.nodes or "its node"
    paths = " ".join(paths_of(job)) or "files that Slurm does not tell"
    return ManagerError(
        f"Reading the logs of job {job.job_id} failed: {paths} cannot be read on this host, and the job does not run "
        f"any more. Read them on {where}, or let all hosts share {context.host.settings.jobs_dir}.",
        FAILED,
    )


def _show(context: Context, job: Job, found: dict[str, str | None]) -> None:
    """The standard output first: what the engine says last stands in the other."""
    several = sum(bool(text) for text in found.values()) > 1
    for path, text in found.items():
        lines = last_lines(text or "", context.args.lines)
        if several and lines:
            context.screen.note(context.screen.paint_err(f"==> {path}", "dim"))
        for line in lines:
            _line(context, line)


def _line(context: Context, line: str) -> None:
    context.screen.say(context.screen.paint(harmless(line).rstrip(), level_colour(line)))


def level_colour(line: str) -> Colour:
    """By the level that vLLM writes at the beginning of a line."""
    head = line[:60]
    if "ERROR" in head or "CRITICAL" in head:
        return "red"
    return "yellow" if "WARNING" in head else ""


def _follow(context: Context, job: Job, paths: list[str]) -> None:
    readable = context.logs().read(job, remote=False)
    srun = context.host.srun()
    if all(text is None for text in readable.values()) and srun:
        for line in follow_on_node(srun, job, 0):
            _line(context, mask(line))
        return
    follower = Follower(paths, _ended(context, job))
    follower.start_at_end()
    for _path, line in follower.lines():
        _line(context, mask(line))
    job = context.job(job.job_id)
    how = states.ending_in_words(job.state, job.exit_code, job.signal)
    context.screen.note(context.screen.paint_err(f"Job {job.job_id} ended: {how}.", "dim"))


def _ended(context: Context, job: Job) -> t.Callable[[], bool]:
    asked = context.now()
    ended = not job.live

    def over() -> bool:
        nonlocal asked, ended
        if not ended and context.now() - asked >= ASK_SECONDS:
            asked = context.now()
            seen = context.host.client.poll(job.job_id)
            ended = seen is None or not seen.live
        return ended

    return over
