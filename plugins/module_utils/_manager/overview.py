# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of the service as people think of them: a model and what became of it. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import Kind, job_name, model_of
from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import Cell, Colour
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import span
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

HEADS: t.Final = ("MODEL", "KIND", "JOB", "STATE", "NODE", "FOR", "LEFT", "DETAIL")

_COLOURS: dict[str, Colour] = {
    "ready": "green",
    "running": "green",
    "done": "green",
    "queued": "yellow",
    "starting": "yellow",
    "loading": "yellow",
    "stopping": "yellow",
    "stopped": "dim",
    "cancelled": "dim",
}


@dataclass(frozen=True)
class Row:
    """One model's job. `state` is one word, `detail` what there is to say about it."""

    model: str
    kind: Kind
    state: str
    detail: str = ""
    job: Job | None = None
    url: str = ""
    seconds: float | None = None
    left: float | None = None

    @property
    def colour(self) -> Colour:
        return _COLOURS.get(self.state, "red")

    def cells(self) -> list[Cell | str]:
        job = self.job
        return [
            Cell(self.model, "bold"),
            self.kind,
            str(job.group) if job else "-",
            Cell(self.state, self.colour),
            (job.nodes if job and job.nodes else "-"),
            "-" if self.seconds is None else span(self.seconds),
            "-" if self.left is None else span(self.left),
            f"{self.url}/v1" if self.url and self.state == "ready" else self.detail or "-",
        ]

    def as_json(self) -> dict[str, t.Any]:
        job = self.job
        return {
            "model": self.model,
            "kind": self.kind,
            "state": self.state,
            "detail": self.detail,
            "job_id": job.group if job else None,
            "job_name": job.name if job else job_name(self.kind, self.model),
            "job_state": job.state if job else None,
            "nodes": job.nodes or None if job else None,
            "user": job.user if job else None,
            "seconds": None if self.seconds is None else round(self.seconds),
            "seconds_left": None if self.left is None else round(self.left),
            "base_url": f"{self.url}/v1" if self.url else None,
        }


def latest(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """The jobs that matter, by name: all live ones, else the last that ended."""
    by_name: dict[str, list[Job]] = {}
    for job in jobs:
        if model_of(job.name):
            by_name.setdefault(job.name, []).append(job)
    return {name: _matter(found) for name, found in by_name.items()}


def _matter(jobs: list[Job]) -> list[Job]:
    live = [job for job in jobs if job.live]
    return sorted(live, key=lambda job: job.job_id) if live else [max(jobs, key=lambda job: job.job_id)]


def row_of(job: Job, now: float) -> Row:
    """What Slurm alone can tell."""
    kind, model = model_of(job.name) or ("serve", job.name)
    row = Row(model, kind, _state(job, kind), job=job)
    phase = job.phase
    if phase == states.QUEUED:
        return replace(row, detail=job.reason, seconds=_since(job.submit_time, now))
    if phase in (states.STARTING, states.RUNNING, states.ENDING):
        left = None if job.end_time is None or job.end_time <= now else job.end_time - now
        return replace(row, seconds=_since(job.start_time, now), left=left)
    # Slurm's own word for a failure says nothing that "failed" does not.
    how = states.ending_in_words(job.state, job.exit_code, job.signal).removeprefix("FAILED ").strip("()")
    detail = how if row.state == "failed" else ""
    return replace(row, detail=detail, seconds=_since(job.end_time, now))


def _state(job: Job, kind: Kind) -> str:
    phase = job.phase
    if phase == states.GONE:
        if job.state == "CANCELLED":
            return "cancelled"
        # A server that ends by itself has failed, whatever its status.
        return "done" if job.succeeded and kind == "batch" else "failed"
    return {states.QUEUED: "queued", states.STARTING: "starting", states.ENDING: "stopping"}.get(phase, "running")


def _since(moment: int | None, now: float) -> float | None:
    return None if moment is None else max(0.0, now - moment)


def with_models(rows: Sequence[Row], models: Iterable[str]) -> list[Row]:
    """The rows, and one for each model that has no serving job; models in their order, then what no script is of."""
    known = list(models)
    found: list[Row] = []
    for name in known:
        of_it = [row for row in rows if row.model == name]
        if not any(row.kind == "serve" for row in of_it):
            found.append(Row(name, "serve", "stopped"))
        found += sorted(of_it, key=lambda row: (row.kind != "serve", row.job.job_id if row.job else 0))
    return [*found, *(row for row in rows if row.model not in known)]
