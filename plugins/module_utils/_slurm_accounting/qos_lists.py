# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which QOS an account or a user has, and how to change many of them without losing a default on the way. Pure.

A list is inherited from the account above unless there is one of its own; `+name` and `-name` in it change what is
inherited. Slurm refuses a list that lacks the default QOS of anything it reaches. So where defaults are in play every
list first gets what it has and what it shall have, then defaults and places change, then the lists become what they
shall be.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import model
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Thing, Values

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Tree:
    """Accounts and associations with their values, and the account above each account."""

    things: Mapping[Thing, Values]
    parents: Mapping[str, str]

    def qos_of(self, thing: Thing) -> frozenset[str]:
        """What jobs may name there."""
        own: tuple[str, ...] = self.things.get(thing, {}).get("qos") or ()
        plain = frozenset(name for name in own if name[:1] not in "+-")
        above = self._above(thing)
        names = plain if plain or above is None else self.qos_of(above)
        added = {name[1:] for name in own if name.startswith("+")}
        return (names | added) - {name[1:] for name in own if name.startswith("-")}

    def _above(self, thing: Thing) -> Thing | None:
        if thing.kind == "association":
            return model.account(thing.account)
        parent = self.parents.get(thing.name)
        return model.account(parent) if parent else None

    def stranded(self) -> Iterator[tuple[Thing, str, frozenset[str]]]:
        """What has a default QOS that it has not: the thing, its default, what it has."""
        for thing, values in self.things.items():
            default = values.get("default_qos")
            if default and default not in self.qos_of(thing):
                yield thing, default, self.qos_of(thing)


def widened(now: Tree, then: Tree) -> dict[Thing, tuple[str, ...]]:
    """The lists that hold both, by thing, in no order; empty where one step will do."""
    both = [thing for thing in then.things if thing in now.things]
    reached = [
        thing
        for thing in both
        if now.things[thing].get("qos") != then.things[thing].get("qos")
        or (thing.kind == "account" and now.parents.get(thing.name) != then.parents.get(thing.name))
    ]
    defaults = [
        thing for thing in both if now.things[thing].get("default_qos") != then.things[thing].get("default_qos")
    ]
    in_play = any(values.get("default_qos") for tree in (now, then) for values in tree.things.values())
    if not in_play or len({*reached, *defaults}) < 2:
        return {}
    return {thing: tuple(sorted(now.qos_of(thing) | then.qos_of(thing))) for thing in reached}
