# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""list and status: what there is."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    OK,
    Exit,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.overview import HEADS, Row, row_of, with_models
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import read_progress
from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import no_such_model
from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import Cell
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import meant
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context

MOST_AT_ONCE = 8


def list_models(context: Context) -> Exit:
    """The models that can be served, from their job scripts; the port of one that runs is the one it has."""
    host, screen = context.host, context.screen
    jobs = context.all_jobs()
    found = []
    rows: list[list[Cell | str]] = []
    for name in host.script_names()["serve"]:
        script, record = host.script("serve", name), host.record(name)
        live = [job for job in jobs.get(script.job_name, []) if job.live]
        state = live[0].phase if live else "stopped"
        colour: t.Literal["green", "yellow", "dim"] = "dim" if not live else "green" if state == "running" else "yellow"
        port = context.port(live[0] if live else None, script)
        length = script.flag("--max-model-len") or record.text("context_length")
        rows.append(
            [
                Cell(name, "bold"),
                Cell(state, colour),
                script.model_id,
                script.gpus() or "-",
                str(port or "-"),
                length or "-",
                record.text("description") or "-",
            ]
        )
        found.append(
            {
                "name": name,
                "state": state,
                "job_id": live[0].job_id if live else None,
                "model_id": script.model_id,
                "revision": script.revision,
                "served_names": list(script.served),
                "gpus": script.gpus() or None,
                "nodes": int(script.options.get("nodes") or 1),
                "partition": script.options.get("partition"),
                "port": port,
                "max_model_len": int(length) if length.isdigit() else None,
                "description": record.text("description") or None,
                "use_case": record.text("use_case") or None,
                "script": script.path,
            }
        )
    screen.result({"models": found})
    if not found:
        error = no_such_model("", [], "", host.settings.jobs_dir)
        screen.say(error.message.replace("Looking for the model  failed: there", "There"))
        return OK
    screen.table(("NAME", "STATE", "MODEL", "GPUS", "PORT", "LENGTH", "DESCRIPTION"), rows)
    return OK


def names(context: Context) -> Exit:
    """For the shell's completion: one name a line, nothing when they cannot be seen."""
    wanted = context.args.what
    if wanted in ("models", "targets") and context.host.full:
        for name in context.host.script_names()["serve"]:
            context.screen.say(name)
    if wanted in ("jobs", "targets"):
        for found in context.all_jobs().values():
            for job in found:
                if job.live or wanted == "targets":
                    context.screen.say(str(job.job_id))
    return OK


def status(context: Context) -> Exit:
    """Every model's job, and whether it answers."""
    host = context.host
    models = host.script_names()["serve"] if host.full else []
    wanted = context.args.model
    jobs = context.all_jobs()
    rows = [row_of(job, context.now()) for found in jobs.values() for job in found]
    rows = with_models(rows, models)
    if wanted:
        _check_known(wanted, [row.model for row in rows], host.settings.jobs_dir)
        rows = [row for row in rows if row.model in wanted]
    if host.full:
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            rows = list(pool.map(lambda row: _looked_at(context, row), rows))
    context.screen.result({"jobs": [row.as_json() for row in rows], "full": host.full})
    if rows:
        context.screen.table(HEADS, [row.cells() for row in rows])
    else:
        context.screen.say(f"There are no models and no jobs of {context.user}.")
    _hints(context, rows)
    return OK


def _check_known(wanted: list[str], known: list[str], folder: str) -> None:
    for name in wanted:
        if name not in known:
            raise no_such_model(name, sorted(set(known)), meant(name, known), folder)


def _looked_at(context: Context, row: Row) -> Row:
    """With what the engine or its log says, where a job runs."""
    job = row.job
    if job is None or job.phase != states.RUNNING:
        return row
    full = context.full_job(job)
    if row.kind == "batch":
        progress = read_progress(*[text for text in context.logs().read(full).values() if text])
        return replace(row, detail=progress.words())
    known = context.host.script_names()["serve"]
    script = context.host.script("serve", row.model) if row.model in known else None
    verdict, url = context.health(job, script, context.host.service_key())
    row = replace(row, url=url)
    if verdict.state == "ready":
        return replace(row, state="ready", detail="")
    if verdict.busy:
        return replace(row, state="ready", detail="busy")
    if verdict.state in ("starting", "loading"):
        progress = read_progress(*[text for text in context.logs().read(full).values() if text])
        return replace(row, state="loading", detail=progress.words())
    return replace(row, state=verdict.state, detail=verdict.detail)


def _hints(context: Context, rows: list[Row]) -> None:
    """What to do next, in one line."""
    bad = [row.model for row in rows if row.colour == "red"]
    if bad:
        context.screen.note(f"\nWhy: vllm-manager doctor {bad[0]}")
    if not context.host.full:
        context.screen.note(
            f"\nOnly what Slurm shows to everybody. Whether models answer, and everything else, is for {context.user}."
        )
