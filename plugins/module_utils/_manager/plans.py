# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of recorded models, for the GPUs that there are or that might be. Pure."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import REFUSED, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.serving import serving_plan

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.records import Record


def plans(
    records: t.Sequence[Record],
    gpus: t.Sequence[Mapping[str, t.Any]],
    *,
    concurrency: float = 1.0,
    changes: Mapping[str, t.Any] | None = None,
    imagined: bool = False,
) -> list[dict[str, t.Any]]:
    """The same plan as the playbook's, for the GPUs that Slurm has now. `changes`: keys as they might be.

    `imagined`: the GPUs are somebody's idea, on a site that may serve on its CPUs now.
    """
    found = []
    for record in records:
        entry = {**record.wanted, **(changes or {})}
        try:
            found += serving_plan(
                [entry],
                configs={record.name: record.about} if record.about else {},
                gpus=gpus,
                site={**record.site, "device": "cuda"} if imagined else record.site,
                concurrency=concurrency,
            )
        except (CatalogueError, PlanError) as error:
            raise ManagerError(f"Planning {record.name} failed: {error}", REFUSED) from error
    return found


def parse_gpus(text: str) -> dict[str, t.Any]:
    """GPUs as the command line names them: [NODESx]COUNT[:TYPE], as 2x8:h100."""
    sizes, _colon, kind = text.partition(":")
    nodes, cross, count = sizes.rpartition("x")
    if not count.isdigit() or (cross and not nodes.isdigit()) or int(count) < 1 or (cross and int(nodes) < 1):
        raise ValueError(f"{text!r} found; allowed is [NODESx]COUNT[:TYPE], like 4, 4:l4 or 2x8:h100")
    return {"nodes": int(nodes) if cross else 1, "gpus": int(count), "type": kind}


def parse_change(text: str) -> tuple[str, t.Any]:
    """A key of an entry as it might be: KEY=VALUE, with the value as YAML would read a plain one."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} found; allowed is KEY=VALUE, like max_model_len=16384")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
