# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is there to what is declared: the changes, in the order in which Slurm takes them. Pure.

QOS first, because accounts and users name them; accounts from the root down, because a child needs its parent; then
users; what goes, goes last and from the leaves up. Each change is complete in itself, so a run that stops in the middle
leaves a state from which the next one goes on.
"""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import check, fields, values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import DeclarationError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import (
    ROOT,
    Change,
    Declaration,
    State,
    Thing,
    Values,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def plan(declared: Declaration, state: State) -> list[Change]:
    _refuse_unknown_tres(declared, state)
    going = _going(declared, state)
    parents = _parents(declared, state, going)
    _refuse_what_would_be_lost(declared, state, going, parents)
    return [
        *_qos(declared, state),
        *_accounts(declared, state, parents),
        *_users(declared, state, going),
        *_removals(state, going, parents),
    ]


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


def _change(
    action: str, thing: Thing, have: Values, want: Values, *, names: t.Container[str] | None = None
) -> Change | None:
    """The difference of two sets of values as one command, or None where there is none."""
    settings, before, after = [], {}, {}
    for attribute in fields.OF_KIND[thing.kind]:
        name = attribute.name
        if name not in want or (names is not None and name not in names):
            continue
        now = have.get(name, None if attribute.default is fields.UNTOUCHED else attribute.default)
        if want[name] == now:
            continue
        settings.append((attribute.slurm, attribute.kind.write(now, want[name])))
        before[name], after[name] = now, want[name]
    if action == "modify" and not settings:
        return None
    return Change(action, thing, tuple(settings), before, after)


def _modified(declared: Declaration, state: State, things: Iterable[Thing]) -> Iterator[Change]:
    for thing in things:
        change = _change("modify", thing, state.things[thing], settled(declared, state, thing))
        if change:
            yield change


def _of_kind(declared: Declaration, kind: str) -> list[Thing]:
    return [thing for thing in declared.things if thing.kind == kind]


def _qos(declared: Declaration, state: State) -> Iterator[Change]:
    all_qos = _of_kind(declared, "qos")
    new = [thing for thing in all_qos if thing not in state.things]
    at_first = [attribute.name for attribute in fields.QOS if attribute.name != "preempt"]
    for thing in new:
        yield t.cast(Change, _change("add", thing, {}, settled(declared, state, thing), names=at_first))
    yield from _modified(declared, state, [thing for thing in all_qos if thing in state.things])
    # A QOS may preempt one that was added after it.
    for thing in new:
        change = _change("modify", thing, {}, settled(declared, state, thing), names=["preempt"])
        if change:
            yield change


def _parents(declared: Declaration, state: State, going: t.AbstractSet[Thing]) -> dict[str, str]:
    """The parent of every account that will be there, and of those that go."""
    parents = {thing.name: state.things[thing]["parent"] or ROOT for thing in state.of_kind("account")}
    for thing in _of_kind(declared, "account"):
        wanted = settled(declared, state, thing).get("parent")
        parents[thing.name] = wanted or parents.get(thing.name) or ROOT
    parents.pop(ROOT, None)
    for circle in check.circles(parents):
        raise DeclarationError(
            f"Moving accounts failed: with what is there already, they would make a circle: {' -> '.join(circle)}. "
            "Declare the parent of each of them."
        )
    return parents


def _depth(name: str, parents: dict[str, str]) -> int:
    depth = 0
    while name in parents:
        name, depth = parents[name], depth + 1
    return depth


def _accounts(declared: Declaration, state: State, parents: dict[str, str]) -> Iterator[Change]:
    """From the root down: what is above an account when its turn comes is what will be above it in the end."""
    for thing in sorted(_of_kind(declared, "account"), key=lambda one: _depth(one.name, parents)):
        want = settled(declared, state, thing)
        if thing in state.things:
            change = _change("modify", thing, state.things[thing], want)
        else:
            change = _change("add", thing, {}, want)
        if change:
            yield change


def _users(declared: Declaration, state: State, going: t.AbstractSet[Thing]) -> Iterator[Change]:
    memberships: dict[str, list[Thing]] = {}
    for thing in _of_kind(declared, "association"):
        memberships.setdefault(thing.name, []).append(thing)
    for person in _of_kind(declared, "user"):
        want = settled(declared, state, person)
        mine = memberships.get(person.name, [])
        default = _default_account(person, want, mine, state, going)
        if default:
            want = {**want, "default_account": default}
        new = [thing for thing in mine if thing not in state.things]
        # The first one of a new user makes the user, and becomes the default.
        new.sort(key=lambda thing: thing.account != default)
        for index, thing in enumerate(new):
            first = t.cast(Change, _change("add", thing, {}, settled(declared, state, thing)))
            makes_user = index == 0 and person not in state.things
            yield _with_user(first, person, want) if makes_user else first
        yield from _modified(declared, state, [thing for thing in mine if thing in state.things])
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


def _going(declared: Declaration, state: State) -> set[Thing]:
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


def _refuse_unknown_tres(declared: Declaration, state: State) -> None:
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


def _refuse_what_would_be_lost(
    declared: Declaration, state: State, going: t.AbstractSet[Thing], parents: dict[str, str]
) -> None:
    """Slurm removes an account with all that is below it: whoever wants that has to say so."""
    problems = []
    gone_accounts = {thing.name for thing in going if thing.kind == "account"}
    for thing in sorted({*state.things, *declared.things} - going):
        above = thing.account if thing.kind == "association" else parents.get(thing.name)
        if thing.kind in ("association", "account") and above in gone_accounts:
            problems.append(
                f"Removing the account {above} failed: the {thing} is in it and would go with it. "
                "Declare that one with another account or as absent too."
            )
    if problems:
        raise DeclarationError("\n".join(problems))
