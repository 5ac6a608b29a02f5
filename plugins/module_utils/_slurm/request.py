# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of slurm_job asks for: one job or many, each with all its parts, checked before Slurm is asked."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SpecError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import check_name

SHORTEST_INTERVAL = 0.2
TIMEOUTS = ("queue_timeout", "start_timeout", "run_timeout")


def check_times(params: dict[str, t.Any]) -> None:
    for name in TIMEOUTS:
        if params[name] is not None and params[name] < 0:
            raise SpecError(f"{name} is {params[name]}. Give 0 or more seconds.")
    if params["poll_interval"] < SHORTEST_INTERVAL:
        raise SpecError(f"poll_interval is {params['poll_interval']}. Give at least {SHORTEST_INTERVAL} seconds.")


def wanted_jobs(params: dict[str, t.Any], environments: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Each job with all its parts: its own, else those of the task."""
    if params["jobs"] is None:
        return [{**params, "environment": environments[0]}]
    jobs = []
    for job, environment in zip(params["jobs"], environments[1:]):
        given = {name: value for name, value in job.items() if value is not None}
        if "script" in given or "script_content" in given:
            given = {"script": None, "script_content": None, **given}
        given["options"] = {**(params["options"] or {}), **(job["options"] or {})}
        given["environment"] = {**environments[0], **environment}
        jobs.append({**params, **given})
    return jobs


def check_jobs(jobs: list[dict[str, t.Any]], state: str) -> None:
    names = [check_name(job["name"]) for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise SpecError(f"jobs has {', '.join(twice)} more than once. Each job needs a name of its own.")
    for job in jobs:
        if state != "absent" and not (job["script"] or job["script_content"]):
            raise SpecError(f"The job {job['name']} has no script. Give script or script_content, for state={state}.")
