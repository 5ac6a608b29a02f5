# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""doctor: one cause, the line that shows it, and what to do."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import LIKELY
from ansible_collections.llmops.cluster.plugins.module_utils._manager.doctor import Evidence, Finding, diagnose
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    NOT_READY,
    OK,
    UNKNOWN,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import read_progress
from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import model_of
from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import Colour
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import ChangeRefusedError, RefusedError

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job


class Diagnosis(t.NamedTuple):
    """What is to be said of one model or job. `state` is one word for its state now."""

    target: str
    state: str
    finding: Finding | None
    job: Job | None = None
    note: str = ""

    def as_json(self) -> dict[str, t.Any]:
        return {
            "target": self.target,
            "state": self.state,
            "job_id": self.job.job_id if self.job else None,
            "finding": self.finding.as_json() if self.finding else None,
            "note": self.note or None,
        }


def doctor(context: Context) -> Exit:
    targets = context.args.target or _not_well(context)
    found = [examine(context, target) for target in targets]
    context.screen.result({"diagnoses": [one.as_json() for one in found]})
    for index, one in enumerate(found):
        if index:
            context.screen.say()
        show(context, one)
    if not found:
        context.screen.say("Nothing is wrong: every job of a model answers or waits for nothing.")
    waiting = [one.state in ("queued", "loading") for one in found]
    if any(one.finding and not waits for one, waits in zip(found, waiting)):
        return FAILED
    return NOT_READY if any(waiting) else OK


def _not_well(context: Context) -> list[str]:
    """Without a name: all whose last job is not a server that was stopped on purpose."""
    targets = []
    for found in context.all_jobs().values():
        for job in found:
            if job.live or not (job.succeeded or job.state == "CANCELLED"):
                targets.append(str(job.job_id))
    return targets


def examine(context: Context, target: str) -> Diagnosis:
    job = _job(context, target)
    if job is None:
        return _never_started(context, target)
    model = (model_of(job.name) or ("serve", target))[1]
    name = f"{model} (job {job.job_id})"
    if job.phase in (states.QUEUED, states.STARTING):
        finding = diagnose(Evidence(model, job.job_id, reason=job.reason or job.state))
        return Diagnosis(name, "queued", finding, job)
    logs = _logs(context, job)
    if not job.live:
        return _ended(name, model, job, logs)
    if (model_of(job.name) or ("batch", ""))[0] == "batch":
        return Diagnosis(name, "running", None, job, read_progress(*logs.values()).words())
    return _serving(context, name, model, job, logs)


def _job(context: Context, target: str) -> Job | None:
    if context.host.full or target.isdigit():
        return context.target_job(target)
    found = context.jobs_named(f"vllm-serve-{target}")
    if not found:
        raise ManagerError(f"Looking for a job of {target} failed: Slurm remembers none.", UNKNOWN)
    return found[0]


def _ended(name: str, model: str, job: Job, logs: dict[str, str]) -> Diagnosis:
    end = states.ending_in_words(job.state, job.exit_code, job.signal)
    if job.succeeded and job.name.startswith("vllm-batch-"):
        return Diagnosis(name, "done", None, job)
    finding = diagnose(Evidence(model, job.job_id, end=end, logs=logs))
    note = "" if logs else "its logs cannot be read on this host, so only Slurm's word is known"
    return Diagnosis(name, f"ended as {end}", finding, job, note)


def _serving(context: Context, name: str, model: str, job: Job, logs: dict[str, str]) -> Diagnosis:
    if not context.host.full:
        return Diagnosis(name, "running", None, job, f"whether it answers can be seen by {context.user} only")
    known = context.host.script_names()["serve"]
    script = context.host.script("serve", model) if model in known else None
    verdict, _url = context.health(job, script, context.host.service_key())
    if verdict.state == "ready" or verdict.busy:
        return Diagnosis(name, "ready", None, job, "it is busy: requests wait their turn" if verdict.busy else "")
    if verdict.state in ("starting", "loading"):
        # It may yet be well, or hang over something that its log has told already.
        finding = diagnose(Evidence(model, job.job_id, logs=logs), worst=LIKELY)
        return Diagnosis(name, "loading", finding, job, read_progress(*logs.values()).words())
    finding = diagnose(Evidence(model, job.job_id, health=f"{verdict.state}: {verdict.detail}", logs=logs))
    return Diagnosis(name, verdict.state, finding, job)


def _logs(context: Context, job: Job) -> dict[str, str]:
    """Standard error first: that is where most engines say what kills them."""
    found = context.logs().read(job)
    paths = sorted(found, key=lambda path: path != job.stderr)
    return {os.path.basename(path): found[path] or "" for path in paths if found[path] is not None}


def _never_started(context: Context, model: str) -> Diagnosis:
    """No job is known: whether Slurm would take one is all that can be asked."""
    script = context.host.script("serve", model)
    order = context.host.order(script)
    try:
        outcome = context.host.manager([script.job_name], dry_run=True).present(
            [order], state="submitted", on_change="fail"
        )[0]
    except (RefusedError, ChangeRefusedError) as error:
        finding = diagnose(Evidence(model, refusal=error.message))
        return Diagnosis(model, "refused", finding, None, error.message if finding is None else "")
    return Diagnosis(
        model, "stopped", None, None, f"it has no job. `vllm-manager serve {model}` starts one. {outcome.message}"
    )


def show(context: Context, found: Diagnosis) -> None:
    screen = context.screen
    colours: dict[str, Colour] = {"ready": "green", "done": "green", "queued": "yellow", "loading": "yellow"}
    colour = colours.get(found.state, "red" if found.finding else "")
    screen.say(f"{screen.paint(found.target, 'bold')}  {screen.paint(found.state, colour)}")
    pairs = []
    if found.finding:
        finding = found.finding
        pairs = [
            ("cause", finding.cause),
            ("evidence", finding.evidence),
            ("from", finding.source),
            ("fix", finding.fix),
        ]
    if found.note:
        pairs.append(("note", found.note))
    if pairs:
        screen.facts(pairs)


def explain(context: Context, job: Job) -> None:
    """After a failure of another command: the same, for people at once."""
    if not context.screen.as_json:
        show(context, examine(context, str(job.job_id)))
