# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One convergence: read, plan, change, and look again whether it came true."""

from __future__ import annotations

import pwd
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import command, describe
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import (
    AccountingError,
    ChangeError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.plan import plan

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.client import AccountingClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import (
        Change,
        Declaration,
        State,
    )


def user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def converge(
    client: AccountingClient,
    declared: Declaration,
    *,
    check_mode: bool,
    exists: Callable[[str], bool] = user_exists,
) -> dict[str, t.Any]:
    state = client.state()
    result = foresee(declared, state)
    if result["changed"] and not check_mode:
        _make(client, declared, plan(declared, state), state)
    _settle_ids(client, declared, result, check_mode=check_mode, exists=exists)
    return result


def foresee(declared: Declaration, state: State) -> dict[str, t.Any]:
    changes = plan(declared, state)
    return {
        "changed": bool(changes),
        "changes": [describe.in_words(change) for change in changes],
        "diff": describe.diff(changes, declared, state),
    }


def _make(client: AccountingClient, declared: Declaration, changes: list[Change], state: State) -> None:
    words = [describe.in_words(change) for change in changes]
    done = 0
    try:
        for batch in command.batches(changes):
            client.change(batch, sole=not state.other_clusters)
            done += len(batch)
        left = plan(declared, client.state())
    except AccountingError as error:
        # Truthful also when it fails: what was done before stays done.
        error.facts.update(changed=done > 0, changes=words[:done])
        raise
    if left:
        raise ChangeError(
            f"Slurm took every change, but still differs: {'; '.join(describe.in_words(one) for one in left)}. "
            "Look whether another tool manages the same accounts, then run this task again.",
            facts={"changed": True, "changes": words},
        )


def _settle_ids(
    client: AccountingClient,
    declared: Declaration,
    result: dict[str, t.Any],
    *,
    check_mode: bool,
    exists: Callable[[str], bool],
) -> None:
    """A user that was made on the host after slurmctld heard of him is there for Slurm only when it looks again."""
    names = sorted(thing.name for thing in declared.of_kind("user"))
    strangers = [name for name in names if not exists(name)]
    if strangers:
        result["warnings"] = [
            f"This host has no user {', '.join(strangers)}: Slurm refuses the jobs of such users. "
            "Make them here, with the same uid on every host, and run this task again."
        ]
    unseen = sorted(client.users_without_id() & set(names) - set(strangers))
    if not unseen:
        return
    if not check_mode:
        try:
            client.look_for_ids()
        except ChangeError as error:
            error.facts.update(changed=result["changed"], changes=result["changes"])
            raise
    result["changed"] = True
    result["changes"] = [*result["changes"], f"make slurmctld look for the user id of {', '.join(unseen)}"]
