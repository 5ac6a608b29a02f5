# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes in words, and as the diff that Ansible shows. Pure."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import fields
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.settle import settled

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import (
        Change,
        Declaration,
        State,
        Thing,
        Values,
    )

_SECTION = {"qos": "qos", "account": "accounts", "user": "users", "association": "users"}
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_/ .:+-]*[A-Za-z0-9]|[A-Za-z]")
_YAML_WORDS = ("false", "n", "no", "null", "off", "on", "true", "y", "yes")


def in_words(change: Change) -> str:
    settings = ", ".join(f"{name}={text}" for name, text in change.settings)
    return f"{change.action} {change.thing}{f': {settings}' if settings else ''}"


def diff(changes: Sequence[Change], declared: Declaration, state: State) -> dict[str, str]:
    """What is declared of the things that change, before and after, as YAML."""
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for change in changes:
        thing = change.thing
        if change.action == "remove":
            _put(before, thing, _shown(thing, change.before))
            continue
        want = {**(settled(declared, state, thing) if thing in declared.things else {}), **change.after}
        if thing in state.things:
            have = state.things[thing]
            _put(before, thing, _shown(thing, {name: have[name] for name in want if name in have}))
        _put(after, thing, _shown(thing, want))
        # What is said of a new user comes with its first association.
        _put(after, thing, _shown_user(change.after), of_user=True)
    return {"before": to_yaml(before), "after": to_yaml(after)}


def _shown(thing: Thing, values: Values) -> Values:
    known = {attribute.name: attribute for attribute in fields.OF_KIND[thing.kind]}
    return {name: known[name].kind.show(value) for name, value in values.items() if name in known}


def _shown_user(values: Values) -> Values:
    return {one.name: one.kind.show(values[one.name]) for one in fields.USER if one.name in values}


def _put(where: dict[str, t.Any], thing: Thing, shown: Values, *, of_user: bool = False) -> None:
    if of_user and not shown:
        return
    place = where.setdefault(_SECTION[thing.kind], {}).setdefault(thing.name, {})
    if thing.kind == "association" and not of_user:
        name = f"{thing.account}, partition {thing.partition}" if thing.partition else thing.account
        place = place.setdefault("accounts", {}).setdefault(name, {})
    place.update(shown)


def to_yaml(data: dict[str, t.Any]) -> str:
    """YAML for reading. A managed host need not have a library for it."""
    return "".join(f"{line}\n" for line in _lines(data))


def _lines(data: dict[str, t.Any], indent: str = "") -> Iterable[str]:
    for key, value in sorted(data.items()):
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, (list, tuple)):
            yield f"{indent}{_scalar(key)}: [{', '.join(_scalar(item) for item in value)}]"
        else:
            yield f"{indent}{_scalar(key)}: {'{}' if value == {} else _scalar(value)}"


def _scalar(value: t.Any) -> str:
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value if ": " not in value else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
