# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One convergence: read, plan, change, and look again whether it came true."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import describe
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import (
    AccountingError,
    ChangeError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.plan import plan

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.client import AccountingClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Declaration


def converge(client: AccountingClient, declared: Declaration, *, check_mode: bool) -> dict[str, t.Any]:
    state = client.state()
    changes = plan(declared, state)
    result: dict[str, t.Any] = {
        "changed": bool(changes),
        "changes": [describe.in_words(change) for change in changes],
        "diff": describe.diff(changes, declared, state),
    }
    if check_mode or not changes:
        return result
    done = 0
    try:
        for change in changes:
            client.change(change, sole=not state.other_clusters)
            done += 1
        left = plan(declared, client.state())
    except AccountingError as error:
        # Truthful also when it fails: what was done before stays done.
        error.facts.update(changed=done > 0, changes=result["changes"][:done])
        raise
    if left:
        raise ChangeError(
            f"Slurm took every change, but still differs: {'; '.join(describe.in_words(one) for one in left)}. "
            "Look whether another tool manages the same accounts, then run this task again.",
            facts={"changed": True, "changes": result["changes"]},
        )
    return result
