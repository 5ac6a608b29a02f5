# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is there to what is declared: the changes, in the order in which Slurm takes them. Pure.

QOS first, because accounts and users name them; accounts from the root down, because a child needs its parent; then
users; what goes, goes last and from the leaves up. Lists of QOS may change in two steps (qos_lists.py). Each change is
complete in itself, so a run that stops in the middle leaves a state from which the next one goes on.
"""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import fields, refuse, settle
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import (
    Change,
    Declaration,
    State,
    Thing,
    Values,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.qos_lists import widened

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def plan(declared: Declaration, state: State) -> list[Change]:
    refuse.unknown_tres(declared, state)
    going = settle.things_that_go(declared, state)
    parents = settle.parents_of(declared, state)
    refuse.what_would_be_lost(declared, state, going, parents)
    then = settle.tree_then(declared, state, going, parents)
    now = settle.tree_now(state)
    refuse.stranded(now, then)
    wide = widened(now, then)
    # From the root down: what is above an account when its turn comes is what will be above it in the end.
    order = sorted(wide, key=lambda one: (one.kind, _depth(one.name, parents), one))
    after_widening = State(
        {thing: {**have, "qos": wide.get(thing, have.get("qos"))} for thing, have in state.things.items()},
        state.tres,
        state.other_clusters,
    )
    return [
        *_qos(declared, state),
        *_lists(order, state.things, after_widening.things),
        *_accounts(declared, after_widening, parents, wide),
        *_users(declared, after_widening, going, wide),
        *_lists(order, after_widening.things, then.things),
        *_removals(state, going, parents),
    ]


def _lists(order: Iterable[Thing], have: Mapping[Thing, Values], want: Mapping[Thing, Values]) -> Iterator[Change]:
    for thing in order:
        change = _change("modify", thing, have[thing], want[thing], names=["qos"])
        if change:
            yield change


def _change(
    action: str,
    thing: Thing,
    have: Values,
    want: Values,
    *,
    names: t.Container[str] | None = None,
    but: t.Container[str] = (),
) -> Change | None:
    """The difference of two sets of values as one command, or None where there is none."""
    settings, before, after = [], {}, {}
    for attribute in fields.OF_KIND[thing.kind]:
        name = attribute.name
        if name not in want or name in but or (names is not None and name not in names):
            continue
        now = have.get(name, None if attribute.default is fields.UNTOUCHED else attribute.default)
        if want[name] == now:
            continue
        settings.append((attribute.slurm, attribute.kind.write(now, want[name])))
        before[name], after[name] = now, want[name]
    if action == "modify" and not settings:
        return None
    return Change(action, thing, tuple(settings), before, after)


def _modified(
    declared: Declaration, state: State, things: Iterable[Thing], wide: t.Container[Thing] = ()
) -> Iterator[Change]:
    for thing in things:
        but = ["qos"] if thing in wide else []
        change = _change("modify", thing, state.things[thing], settle.settled(declared, state, thing), but=but)
        if change:
            yield change


def _qos(declared: Declaration, state: State) -> Iterator[Change]:
    all_qos = declared.of_kind("qos")
    new = [thing for thing in all_qos if thing not in state.things]
    at_first = [attribute.name for attribute in fields.QOS if attribute.name != "preempt"]
    for thing in new:
        yield t.cast(Change, _change("add", thing, {}, settle.settled(declared, state, thing), names=at_first))
    yield from _modified(declared, state, [thing for thing in all_qos if thing in state.things])
    # A QOS may preempt one that was added after it.
    for thing in new:
        change = _change("modify", thing, {}, settle.settled(declared, state, thing), names=["preempt"])
        if change:
            yield change


def _depth(name: str, parents: dict[str, str]) -> int:
    depth = 0
    while name in parents:
        name, depth = parents[name], depth + 1
    return depth


def _accounts(
    declared: Declaration, state: State, parents: dict[str, str], wide: t.Container[Thing]
) -> Iterator[Change]:
    for thing in sorted(declared.of_kind("account"), key=lambda one: _depth(one.name, parents)):
        if thing in state.things:
            yield from _modified(declared, state, [thing], wide)
        else:
            yield t.cast(Change, _change("add", thing, {}, settle.settled(declared, state, thing)))


def _users(
    declared: Declaration, state: State, going: t.AbstractSet[Thing], wide: t.Container[Thing]
) -> Iterator[Change]:
    memberships: dict[str, list[Thing]] = {}
    for thing in declared.of_kind("association"):
        memberships.setdefault(thing.name, []).append(thing)
    for person in declared.of_kind("user"):
        want = settle.settled(declared, state, person)
        mine = memberships.get(person.name, [])
        default = _default_account(person, want, mine, state, going)
        if default:
            want = {**want, "default_account": default}
        new = [thing for thing in mine if thing not in state.things]
        # The first one of a new user makes the user, and becomes the default.
        new.sort(key=lambda thing: thing.account != default)
        for index, thing in enumerate(new):
            first = t.cast(Change, _change("add", thing, {}, settle.settled(declared, state, thing)))
            makes_user = index == 0 and person not in state.things
            yield _with_user(first, person, want) if makes_user else first
        yield from _modified(declared, state, [thing for thing in mine if thing in state.things], wide)
        if person in state.things:
            change = _change("modify", person, state.things[person], want)
            if change:
                yield change


def _with_user(change: Change, person: Thing, want: Values) -> Change:
    """The first association of a new user, with what is said of the user."""
    whole = t.cast(Change, _change("add", person, {}, want))
    return Change(
        "add", change.thing, (*whole.settings, *change.settings), change.before, {**whole.after, **change.after}
    )


def _default_account(
    person: Thing, want: Values, mine: list[Thing], state: State, going: t.AbstractSet[Thing]
) -> str | None:
    """The account of jobs that name none: the declared one, else the one that is, else the first."""
    if want.get("default_account"):
        return str(want["default_account"])
    now = state.things.get(person, {}).get("default_account")
    stays = any(
        thing.kind == "association" and thing.name == person.name and thing.account == now and thing not in going
        for thing in state.things
    )
    if stays:
        return None
    return mine[0].account if mine else None


def _removals(state: State, going: t.AbstractSet[Thing], parents: dict[str, str]) -> Iterator[Change]:
    gone_users = {thing.name for thing in going if thing.kind == "user"}
    associations = [one for one in going if one.kind == "association" and one.name not in gone_users]
    accounts = [one for one in going if one.kind == "account"]
    for thing in [
        *sorted(associations),
        *sorted(one for one in going if one.kind == "user"),
        *sorted(accounts, key=lambda one: (-_depth(one.name, parents), one.name)),
        *sorted(one for one in going if one.kind == "qos"),
    ]:
        yield Change("remove", thing, before=_not_default(thing, state.things[thing]))


def _not_default(thing: Thing, have: Values) -> Values:
    attributes = fields.OF_KIND[thing.kind]
    return {one.name: have[one.name] for one in attributes if have[one.name] not in (one.default, None, "")}
