# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which QOS an account or a user has, and how to change many of them without losing a default on the way. Pure.

A list is inherited from the account above unless there is one of its own; `+name` and `-name` in it change what is
inherited. A default is inherited too. Slurm refuses a list that lacks the
default QOS of anything it reaches, and new users where that is so. So where defaults are in play every
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

    def chain(self, thing: Thing) -> Iterator[Thing]:
        """The thing and the accounts above it."""
        here: Thing | None = thing
        while here:
            yield here
            here = self._above(here)

    def default_of(self, thing: Thing) -> str | None:
        """The QOS of jobs that name none, its own or that of an account above."""
        own: str | None = self.things.get(thing, {}).get("default_qos")
        above = self._above(thing)
        return own if own or above is None else self.default_of(above)

    def stranded(self) -> Iterator[tuple[Thing, str, frozenset[str]]]:
        """What has a default QOS that it may not use: the thing, the default, what it may use."""
        for thing in self.things:
            default = self.default_of(thing)
            if default and default not in self.qos_of(thing):
                yield thing, default, self.qos_of(thing)


def widened(now: Tree, then: Tree) -> dict[Thing, tuple[str, ...]]:
    """The lists that hold all that is needed on the way, by thing, in no order; empty where one step will do."""
    reached = [
        thing
        for thing in then.things
        if thing in now.things
        and (
            any(now.things[thing].get(key) != then.things[thing].get(key) for key in ("qos", "default_qos"))
            or _moves(thing, now, then)
        )
    ]
    in_play = any(values.get("default_qos") for tree in (now, then) for values in tree.things.values())
    if not in_play or len(reached) < 2:
        return {}
    # With the lists of the accounts above, because a default may come from there until there is one of its own.
    # What has no list of its own follows the account above.
    return {
        thing: tuple(sorted({name for tree in (now, then) for one in tree.chain(thing) for name in tree.qos_of(one)}))
        for thing in reached
        if _moves(thing, now, then) or now.things[thing].get("qos") or then.things[thing].get("qos")
    }


def _moves(thing: Thing, now: Tree, then: Tree) -> bool:
    return thing.kind == "account" and now.parents.get(thing.name) != then.parents.get(thing.name)
