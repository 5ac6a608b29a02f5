# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""plan: where models fit, by the same plan as the playbooks'."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager import plans
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    OK,
    UNKNOWN,
    USAGE,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import no_such_model
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import meant
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import parse_sinfo
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import run

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context

SINFO = ["--Node", "--noheader", "--format=%N|%G|%R"]


def plan(context: Context) -> Exit:
    """Where models fit, for the GPUs that Slurm has now or that might be."""
    host, args = context.host, context.args
    known = host.script_names()["serve"]
    wanted = args.model or known
    for name in wanted:
        if name not in known:
            raise no_such_model(name, known, meant(name, known), host.settings.jobs_dir)
    found = [host.record(name) for name in wanted]
    missing = [one.name for one in found if not one.wanted]
    if missing or not found:
        raise ManagerError(
            f"Planning {', '.join(missing) or 'models'} failed: what the model is was not written down in "
            f"{host.settings.models_dir}. Run deploy-vllm-models.yml, which does that.",
            UNKNOWN,
        )
    try:
        gpus = [plans.parse_gpus(args.gpus)] if args.gpus else _gpus(context)
        changes = dict(plans.parse_change(one) for one in args.set or ())
    except ValueError as error:
        raise ManagerError(f"Reading the options failed: {error}.", USAGE) from error
    made = plans.plans(found, gpus, concurrency=args.concurrency, changes=changes, imagined=bool(args.gpus))
    context.screen.result({"plans": made, "gpus": gpus})
    context.screen.say("\n\n".join(one["text"] for one in made))
    return FAILED if any(one["state"] == "refused" or one["limits"] for one in made) else OK


def _gpus(context: Context) -> list[dict[str, t.Any]]:
    sinfo = context.host.sinfo()
    answer = run([sinfo, *SINFO], {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}) if sinfo else None
    return parse_sinfo(answer.out.splitlines()) if answer and answer.rc == 0 else []
