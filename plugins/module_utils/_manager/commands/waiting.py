# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What serve, restart and batch do while a job is on its way: tell, and see how it ends."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands import heal
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    NOT_READY,
    OK,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.follow import Follow, TellingLadder
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import Progress, read_progress
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import span
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.job import job_looker
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import Script
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Verdict

LOOK_SECONDS = 2.0


def until_answers(context: Context, script: Script, job: Job, facts: dict[str, t.Any]) -> tuple[Exit, dict[str, t.Any]]:
    """The job of a model, until its first answer; the facts with what came of it."""
    started = context.now()
    follow = Follow(context.host.client, script.name, context.screen.now)
    try:
        follow.until_started(job, context.args.queue_timeout)
        found = follow.until_ready(*_ladder(context, script, job), job.job_id, context.args.timeout)
    except ManagerError as error:
        context.screen.note(context.screen.paint_err(error.message, "red"))
        if error.exit is not NOT_READY:
            heal.explain(context, job)
        return error.exit, {**facts, "failed": True, "msg": error.message, "state": error.facts.get("state")}
    url = f"{found.url}/v1"
    model = script.served[0] if script.served else script.name
    ready = context.screen.paint(f"{script.name} is ready", "green")
    context.screen.say(f"{ready} at {url} as {model} (job {job.job_id}, {span(context.now() - started)})")
    return OK, {**facts, "state": "ready", "base_url": url, "served_models": list(found.verdict.served_models)}


def _ladder(context: Context, script: Script, job: Job) -> tuple[TellingLadder, Target]:
    key = context.host.service_key()
    target = Target(None, "completion", script.task, 30.0)
    full: list[Job] = []

    def logs() -> list[str]:
        if not full:
            full.append(context.full_job(job))
        return [text for text in context.logs().read(full[0]).values() if text]

    def tell(progress: Progress, verdict: Verdict) -> None:
        context.screen.now(f"{script.name}: {progress.words()}", progress.stage)

    ladder = TellingLadder(
        context.places(job, key, script.port),
        target,
        job_looker(context.host.finder.as_module(), job.job_id, [key] if key else []),
        logs=logs,
        tell=tell,
    )
    return ladder, target


def until_done(context: Context, job: Job, facts: dict[str, t.Any]) -> tuple[Exit, dict[str, t.Any]]:
    """A batch, until it has ended."""
    client, name = context.host.client, context.args.model
    follow = Follow(client, name, context.screen.now)
    last = job

    def look() -> Seen[Job]:
        nonlocal last
        last = client.poll(job.job_id) or client.recorded(job.job_id) or last
        if last.live:
            progress = read_progress(*[text for text in context.logs().read(context.full_job(job)).values() if text])
            context.screen.now(f"{name}: {progress.words()}", progress.stage)
        return Seen(done=not last.live, value=last)

    try:
        follow.until_started(job, context.args.queue_timeout)
        Waiter(look, timeout=context.args.timeout, interval=LOOK_SECONDS).wait()
    except WaitTimeoutError as error:
        message = f"Waiting for job {job.job_id} failed: it still runs after {span(error.seconds)}. It goes on."
        context.screen.note(message)
        return NOT_READY, {**facts, "msg": message}
    except ManagerError as error:
        context.screen.note(error.message)
        return error.exit, {**facts, "msg": error.message}
    ended = context.full_job(last)
    how = states.ending_in_words(ended.state, ended.exit_code, ended.signal)
    context.screen.say(f"Job {job.job_id} ended: {how}.")
    return (OK if ended.succeeded else FAILED), {**facts, "job_state": ended.state, "failed": not ended.succeeded}
