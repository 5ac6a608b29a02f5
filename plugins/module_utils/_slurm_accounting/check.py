# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether declared things fit together: names that point nowhere, circles, users without an account. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import model
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import NORMAL, ROOT, Thing, Values

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def problems(things: Mapping[Thing, Values], absent: t.AbstractSet[Thing], places: Mapping[Thing, str]) -> list[str]:
    qos_names = {thing.name for thing in things if thing.kind == "qos"} | {NORMAL}
    account_names = {thing.name for thing in things if thing.kind == "account"} | {ROOT}
    found: list[str] = []
    for thing, values in things.items():
        place = places[thing]
        found += _lost_qos(place, thing, values, qos_names)
        if thing.kind == "account":
            found += _lost_parent(place, thing, values, account_names)
        if thing.kind == "user":
            found += _lost_user(place, thing, values, things)
        if thing.kind == "association":
            found += _lost_account(place, thing, account_names)
    accounts = [thing for thing in things if thing.kind == "account" and not thing.built_in]
    parents = {thing.name: things[thing].get("parent", ROOT) for thing in accounts}
    found += [
        f"{places[model.account(circle[0])]}: its parents make a circle: {' -> '.join(circle)}. "
        "Give one of them another parent."
        for circle in circles(parents)
    ]
    return found


def _lost_qos(place: str, thing: Thing, values: Values, known: t.AbstractSet[str]) -> Iterator[str]:
    key = "preempt" if thing.kind == "qos" else "qos"
    for name in values.get(key, ()):
        if name not in known:
            yield f"{place}: {key} names {name!r}, which is no declared QOS. Known are {_names(known)}."
    default = values.get("default_qos")
    if default is None:
        return
    if default not in known:
        yield f"{place}: default_qos is {default!r}, which is no declared QOS. Known are {_names(known)}."
    elif values.get("qos") and default not in values["qos"]:
        yield f"{place}: default_qos is {default!r}, which is not in its qos {_names(values['qos'])}."


def _lost_parent(place: str, thing: Thing, values: Values, known: t.AbstractSet[str]) -> Iterator[str]:
    if "parent" not in values:
        return
    parent = values["parent"]
    if thing.built_in:
        yield f"{place}: parent is {parent!r}, but root is the top of the tree. Leave parent out."
    elif parent not in known:
        yield (
            f"{place}: parent is {parent!r}, which is no declared account. Known are {_names(known)}. "
            "An account that is there already is declared by its name alone."
        )


def _lost_user(place: str, thing: Thing, values: Values, things: Mapping[Thing, Values]) -> Iterator[str]:
    accounts = {other.account for other in things if other.kind == "association" and other.name == thing.name}
    if not accounts and not thing.built_in:
        yield f"{place}: it has no account, so it could run nothing. Name one in accounts, or say state: absent."
    default = values.get("default_account")
    if default is not None and default not in accounts and not (thing.built_in and default == ROOT):
        yield f"{place}: default_account is {default!r}, which is not among its accounts {_names(accounts)}."


def _lost_account(place: str, thing: Thing, known: t.AbstractSet[str]) -> Iterator[str]:
    if thing.account not in known:
        yield (
            f"{place}: {thing.account!r} is no declared account. Known are {_names(known)}. "
            "An account that is there already is declared by its name alone."
        )


def circles(parents: Mapping[str, str]) -> list[list[str]]:
    """The circles in a forest of parents, each once, from its first name round to itself."""
    found = []
    settled: set[str] = set()
    for start in parents:
        path: list[str] = []
        name = start
        while name in parents and name not in settled and name not in path:
            path.append(name)
            name = parents[name]
        if name in path:
            circle = path[path.index(name) :]
            first = circle.index(min(circle))
            found.append([*circle[first:], *circle[: first + 1]])
        settled.update(path)
    return found


def _names(names: t.Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
