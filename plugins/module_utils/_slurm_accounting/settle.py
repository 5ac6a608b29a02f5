# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will be there in the end. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import check, fields
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import DeclarationError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import (
    ROOT,
    Declaration,
    State,
    Thing,
    Values,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.qos_lists import Tree


def settled(declared: Declaration, state: State, thing: Thing) -> Values:
    """What the declared values of a thing shall be, those that a purge puts back included."""
    have = state.things.get(thing, {})
    want = declared.things[thing]
    purge = declared.purge and not thing.built_in
    found = {}
    for attribute in fields.OF_KIND[thing.kind]:
        now = have.get(attribute.name, attribute.default)
        if attribute.name in want:
            found[attribute.name] = attribute.kind.settle(now, want[attribute.name], purge=purge)
        elif purge and thing in state.things and attribute.default is not fields.UNTOUCHED:
            found[attribute.name] = attribute.default
    return found


def things_that_go(declared: Declaration, state: State) -> set[Thing]:
    """What will not be there any more."""
    gone = {thing for thing in declared.absent if thing in state.things}
    if declared.purge:
        gone |= {
            thing
            for thing in state.things
            if thing not in declared.things
            and not thing.built_in
            # Other clusters may need what is not of this one alone.
            and not (thing.kind == "qos" and state.other_clusters)
        }
    gone_users = {thing.name for thing in gone if thing.kind == "user"}
    return gone | {thing for thing in state.things if thing.kind == "association" and thing.name in gone_users}


def parents_of(declared: Declaration, state: State) -> dict[str, str]:
    """The parent of every account that will be there, and of those that go."""
    parents = {thing.name: state.things[thing]["parent"] or ROOT for thing in state.of_kind("account")}
    for thing in declared.of_kind("account"):
        wanted = settled(declared, state, thing).get("parent")
        parents[thing.name] = wanted or parents.get(thing.name) or ROOT
    parents.pop(ROOT, None)
    for circle in check.circles(parents):
        raise DeclarationError(
            f"Moving accounts failed: with what is there already, they would make a circle: {' -> '.join(circle)}. "
            "Declare the parent of each of them."
        )
    return parents


def tree_now(state: State) -> Tree:
    things = {thing: have for thing, have in state.things.items() if thing.kind in ("account", "association")}
    accounts = state.of_kind("account")
    parents = {thing.name: state.things[thing].get("parent") or ROOT for thing in accounts if not thing.built_in}
    return Tree(things, parents)


def tree_then(declared: Declaration, state: State, going: t.AbstractSet[Thing], parents: dict[str, str]) -> Tree:
    things = {
        thing: {**state.things.get(thing, {}), **(settled(declared, state, thing) if thing in declared.things else {})}
        for thing in {**state.things, **declared.things}
        if thing.kind in ("account", "association") and thing not in going
    }
    return Tree(things, parents)
