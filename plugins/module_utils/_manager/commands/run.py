# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""serve, batch, stop, cancel, restart: what changes jobs, all of it as the module slurm_job does it."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands import heal
from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands.waiting import until_answers, until_done
from ansible_collections.llmops.cluster.plugins.module_utils._manager.doctor import Evidence, diagnose
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    FORBIDDEN,
    OK,
    REFUSED,
    UNKNOWN,
    USAGE,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.requests import batch_name, look
from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import job_name, model_of, no_such_model
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import for_people, listed, meant, plural
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.change import ask_whether_accepted
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import (
    CommandError,
    LockError,
    RefusedError,
    SlurmError,
)

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import Script
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import Order


def serve(context: Context) -> Exit:
    scripts = [context.host.script("serve", name) for name in _models(context)]
    if context.args.print:
        return _print(context, scripts)
    return _start(context, scripts, on_change="replace" if context.args.replace else "fail")


def _print(context: Context, scripts: list[Script]) -> Exit:
    """What would be submitted, byte for byte."""
    if len(scripts) > 1:
        raise ManagerError(
            f"--print prints one script. Name one model of {listed([one.name for one in scripts])}.", USAGE
        )
    context.screen.write(scripts[0].text)
    context.screen.result({"model": scripts[0].name, "path": scripts[0].path, "script": scripts[0].text})
    return OK


def restart(context: Context) -> Exit:
    """A job that is refused does not cost the one that runs: Slurm is asked first."""
    scripts = [context.host.script("serve", name) for name in _models(context)]
    names = [script.job_name for script in scripts]
    for script in scripts:
        try:
            ask_whether_accepted(context.host.client, context.host.order(script))
        except RefusedError as error:
            raise _with_fix(error, script.name) from error
    gone = context.host.manager(names, dry_run=context.dry_run).absent(names, context.user)
    models = [script.name for script in scripts]
    _tell(context, gone, models)
    if context.dry_run:
        context.screen.say(f"Would submit {listed(names)} again.")
        context.screen.result({"jobs": [_facts(one, name) for one, name in zip(gone, names)]})
        return OK
    return _start(context, scripts, on_change="replace", gone=gone)


def _models(context: Context) -> list[str]:
    known = context.host.script_names()["serve"]
    wanted: list[str] = list(known if context.args.all else dict.fromkeys(context.args.model))
    if not wanted:
        if context.args.all:
            raise no_such_model("any", known, "", context.host.settings.jobs_dir)
        raise ManagerError(f"Name a model, or --all. Known models: {listed(known)}.", USAGE)
    for name in wanted:
        if name not in known:
            raise no_such_model(name, known, meant(name, known), context.host.settings.jobs_dir)
    return wanted


def _start(context: Context, scripts: list[Script], *, on_change: str, gone: Sequence[Outcome] = ()) -> Exit:
    """`gone`: what was stopped for it, in the order of the scripts."""
    names = [script.job_name for script in scripts]
    outcomes = _submit(context, [context.host.order(script) for script in scripts], names, on_change)
    _tell(context, outcomes, [script.name for script in scripts])
    for outcome, before in zip(outcomes, gone):
        outcome.cancelled += before.cancelled
    facts = [_facts(one, script.name) for one, script in zip(outcomes, scripts)]
    code = _code(outcomes)
    if not context.dry_run and not context.args.no_wait:
        for index, (outcome, script) in enumerate(zip(outcomes, scripts)):
            if outcome.job is not None and outcome.error is None:
                found, facts[index] = until_answers(context, script, outcome.job, facts[index])
                code = code if found is OK else found
    context.screen.result({"jobs": facts})
    return code


def _submit(context: Context, orders: list[Order], names: list[str], on_change: str) -> list[Outcome]:
    try:
        return context.host.manager(names, dry_run=context.dry_run).present(
            orders, state="submitted", on_change=on_change
        )
    except RefusedError as error:
        raise _with_fix(error, _model_in(names)) from error
    except (CommandError, LockError):
        raise
    except SlurmError as error:
        # A job that differs, or several faults in one.
        raise ManagerError(for_people(error.message), REFUSED, facts={"diff": error.facts.get("diff")}) from error


def _model_in(names: list[str]) -> str:
    return (model_of(names[0]) or ("serve", names[0]))[1]


def _with_fix(error: SlurmError, model: str) -> ManagerError:
    """What Slurm said no to, and what that means."""
    message = for_people(error.message)
    finding = diagnose(Evidence(model, refusal=error.message))
    if finding:
        message = f"{message}\n{finding.cause} {finding.fix}"
    return ManagerError(message, REFUSED)


def _code(outcomes: list[Outcome]) -> Exit:
    errors = [one.error for one in outcomes if one.error is not None]
    if not errors:
        return OK
    return REFUSED if all(isinstance(error, RefusedError) for error in errors) else FAILED


def _tell(context: Context, outcomes: list[Outcome], models: list[str]) -> None:
    for outcome, model in zip(outcomes, models):
        for warning in outcome.warnings:
            context.screen.note(context.screen.paint_err(f"Warning: {for_people(warning)}", "yellow"))
        if outcome.error is not None:
            said = _with_fix(outcome.error, model) if isinstance(outcome.error, RefusedError) else outcome.error
            context.screen.note(context.screen.paint_err(for_people(said.message), "red"))
        elif outcome.message:
            context.screen.say(for_people(_with_id(outcome)))


def _with_id(outcome: Outcome) -> str:
    """A new job's message names it only by its name: its id is what people go on with."""
    message = outcome.message
    if outcome.job is not None and message.endswith(" was submitted."):
        return f"{message[:-1]} as job {outcome.job.group}."
    return message


def _facts(outcome: Outcome, name: str) -> dict[str, t.Any]:
    job = outcome.job
    return {
        "model": name,
        "changed": outcome.changed,
        "job_id": job.group if job else None,
        "job_state": job.state if job else None,
        "msg": for_people(outcome.error.message if outcome.error else outcome.message),
        "failed": outcome.error is not None,
        "cancelled_job_ids": [one.group for one in outcome.cancelled],
        "foreign_jobs": [one.job_id for one in outcome.foreign],
    }


def stop(context: Context) -> Exit:
    """No serving job of these models, whatever it was made from."""
    known = context.host.script_names()["serve"]
    live = {
        found[0].name.removeprefix("vllm-serve-") for name, found in context.all_jobs().items() if "-serve-" in name
    }
    wanted = sorted({*known, *live}) if context.args.all else list(dict.fromkeys(context.args.model))
    if not wanted:
        raise ManagerError(f"Name a model, or --all. Known models: {listed(known)}.", USAGE)
    for name in wanted:
        if name not in known and name not in live:
            raise no_such_model(name, known, meant(name, known), context.host.settings.jobs_dir)
    names = [job_name("serve", name) for name in wanted]
    outcomes = context.host.manager(names, dry_run=context.dry_run).absent(names, context.user)
    for outcome, name in zip(outcomes, wanted):
        # Of all models, those that had no job are not worth a line each.
        if outcome.changed or outcome.warnings or not context.args.all:
            _tell(context, [outcome], [name])
    if context.args.all and not any(one.changed for one in outcomes):
        context.screen.say("No model is served.")
    facts = [_facts(one, name) for one, name in zip(outcomes, wanted)]
    context.screen.result({"jobs": facts})
    return OK


def cancel(context: Context) -> Exit:
    """Single jobs by their ids: those of batches, most often."""
    jobs = [_ours(context, number) for number in dict.fromkeys(context.args.job_id)]
    live = [job for job in jobs if job.live]
    if live and not context.dry_run:
        for name in dict.fromkeys(job.name for job in live):
            of_name = [job for job in live if job.name == name]
            context.host.manager([name], dry_run=False).watch.until_cancelled(of_name)
    for job in jobs:
        verb = "Would cancel" if context.dry_run else "Cancelled"
        done = f"{verb} job {job.job_id} ({job.name})." if job.live else f"Job {job.job_id} has ended before."
        context.screen.say(done)
    context.screen.result({"jobs": [{"job_id": job.job_id, "job_name": job.name, "changed": job.live} for job in jobs]})
    return OK


def _ours(context: Context, number: int) -> Job:
    job = context.job(number)
    if job.user != context.user:
        raise ManagerError(
            f"Cancelling job {number} failed: it is {job.user}'s, and the manager cancels jobs of {context.user} only.",
            FORBIDDEN,
        )
    return job


def batch(context: Context) -> Exit:
    """One job for each file of requests and answers; the same once more is the same job."""
    args = context.args
    script = context.host.script("batch", args.model)
    requests = os.path.abspath(args.requests)
    answers = os.path.abspath(args.answers) if args.answers else None
    count = _checked(context, requests, _served(context, args.model))
    words = [requests, *([answers] if answers else [])]
    name = batch_name(script.job_name, requests, answers)
    order = context.host.order(script, args=words, name=name)
    outcome = _submit(context, [order], [name], "fail")[0]
    _tell(context, [outcome], [args.model])
    facts = {**_facts(outcome, args.model), "requests": count, "answers": answers or _default_answers(context, outcome)}
    code = _code([outcome])
    if outcome.job is not None and outcome.error is None and not context.dry_run:
        context.screen.say(f"{plural(count, 'request')}, answers in {facts['answers']}")
        if args.wait:
            code, facts = until_done(context, outcome.job, facts)
            if code is not OK:
                heal.explain(context, outcome.job)
    context.screen.result(facts)
    return code


def _default_answers(context: Context, outcome: Outcome) -> str | None:
    if outcome.job is None:
        return None
    name = context.args.model
    return f"{context.host.settings.jobs_dir}/outputs/batch_{name}_{outcome.job.job_id}.jsonl"


def _served(context: Context, model: str) -> tuple[str, ...]:
    """The names that requests may use, from the serving script beside the one of batches."""
    known = context.host.script_names()["serve"]
    return context.host.script("serve", model).served if model in known else ()


def _checked(context: Context, path: str, served: tuple[str, ...]) -> int:
    """How many requests there are; faults are said before a job waits for a GPU to say them."""
    try:
        with open(path, "rb") as handle:
            looked = look(handle, served)
    except FileNotFoundError:
        raise ManagerError(f"Reading the requests from {path} failed: there is no such file.", UNKNOWN) from None
    except PermissionError as error:
        raise ManagerError(
            f"Reading the requests from {path} failed: the user {context.user}, who runs the job, may not read it. "
            f"Make it readable for {context.user}, in a folder that the compute hosts see too.",
            FORBIDDEN,
        ) from error
    except OSError as error:
        raise ManagerError(f"Reading the requests from {path} failed: {error.strerror}.", UNKNOWN) from error
    if looked.problems:
        raise ManagerError(
            f"The requests in {path} cannot be answered. Nothing was submitted.\n  " + "\n  ".join(looked.problems),
            USAGE,
        )
    return looked.requests
