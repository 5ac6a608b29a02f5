# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans that Slurm would refuse half way, or that would take more than was declared. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import fields, values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import DeclarationError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Declaration, State, Thing
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.qos_lists import Tree
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.settle import settled


def unknown_tres(declared: Declaration, state: State) -> None:
    problems = []
    for thing, want in declared.things.items():
        for attribute in fields.OF_KIND[thing.kind]:
            if attribute.kind is not values.TRES or not state.tres:
                continue
            for name in want.get(attribute.name, {}):
                if name != values.ALL_OTHERS and name not in state.tres:
                    problems.append(
                        f"Setting {attribute.name} of the {thing} failed: this cluster counts no {name!r}. "
                        f"It counts {', '.join(sorted(state.tres))}; name others in AccountingStorageTRES."
                    )
    if problems:
        raise DeclarationError("\n".join(problems))


def stranded(now: Tree, then: Tree) -> None:
    """What is so already, and stays as it is, is somebody else's."""
    known = set(now.stranded())
    problems = [
        f"Setting the QOS of the {thing} failed: jobs there default to {default!r}, but all they may name would be "
        f"{', '.join(sorted(found)) or 'none'}. Declare another default_qos there, or give it that QOS."
        for thing, default, found in sorted(set(then.stranded()) - known, key=lambda one: one[0])
    ]
    if problems:
        raise DeclarationError("\n".join(problems))


def what_would_be_lost(
    declared: Declaration, state: State, going: t.AbstractSet[Thing], parents: dict[str, str]
) -> None:
    """Slurm removes an account with all that is below it: whoever wants that has to say so."""
    problems = []
    gone_accounts = {thing.name for thing in going if thing.kind == "account"}
    gone_qos = {thing.name for thing in going if thing.kind == "qos"}
    for thing in sorted({*state.things, *declared.things} - going):
        want = settled(declared, state, thing) if thing in declared.things else {}
        default = {**state.things.get(thing, {}), **want}.get("default_qos")
        if default in gone_qos:
            problems.append(
                f"Removing the qos {default} failed: it is the default_qos of the {thing}. Declare another one there."
            )
        above = thing.account if thing.kind == "association" else parents.get(thing.name)
        if thing.kind in ("association", "account") and above in gone_accounts:
            problems.append(
                f"Removing the account {above} failed: the {thing} is in it and would go with it. "
                "Declare that one with another account or as absent too."
            )
    if problems:
        raise DeclarationError("\n".join(problems))
