# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a person declares to a declaration that fits together, or to everything that is wrong with it. Pure."""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import check, fields, model
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import DeclarationError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Declaration, Thing, Values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.values import BadValueError

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.fields import Attribute

STATES = ("present", "absent")
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.@+-]*")
_PARTITION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def accounting_problems(
    qos: Sequence[t.Any] = (), accounts: Sequence[t.Any] = (), users: Sequence[t.Any] = (), prefix: str = ""
) -> list[str]:
    """Everything that is wrong with a declaration; `prefix` stands before the names of the three lists."""
    return _read(qos, accounts, users, prefix)[1]


def declare(
    qos: Sequence[t.Any] | None, accounts: Sequence[t.Any] | None, users: Sequence[t.Any] | None, *, purge: bool
) -> Declaration:
    reader, problems = _read(qos or (), accounts or (), users or (), "")
    if problems:
        raise DeclarationError("\n".join(problems))
    return Declaration(reader.things, frozenset(reader.absent), purge)


def _read(
    qos: Sequence[t.Any], accounts: Sequence[t.Any], users: Sequence[t.Any], prefix: str
) -> tuple[_Reader, list[str]]:
    reader = _Reader()
    for kind, variable, entries in (("qos", "qos", qos), ("account", "accounts", accounts), ("user", "users", users)):
        if not isinstance(entries, (list, tuple)):
            reader.problems.append(f"{prefix}{variable} is no list.")
            continue
        for index, entry in enumerate(entries):
            reader.entry(kind, f"{prefix}{variable}[{index}]", entry)
    # What names point to can be told when the names are right.
    problems = reader.problems or check.problems(reader.things, reader.absent, reader.places)
    return reader, problems


class _Reader:
    """Collects things and problems, so that one run tells them all."""

    def __init__(self) -> None:
        self.things: dict[Thing, Values] = {}
        self.absent: set[Thing] = set()
        self.places: dict[Thing, str] = {}
        self.problems: list[str] = []

    def entry(self, kind: str, place: str, entry: t.Any) -> None:
        found = self._opened(place, entry)
        if found is None:
            return
        name, place, given = found
        thing = Thing(kind, name)
        memberships = given.pop("accounts", None) if kind == "user" else None
        absent = self._state(place, given)
        values = self._values(place, given, fields.OF_KIND[kind])
        if not self._new(thing, place, absent=absent):
            return
        if not absent:
            self.things[thing] = values
        if kind == "user":
            self._memberships(name, place, memberships or [], absent=absent)

    def _memberships(self, user_name: str, place: str, memberships: t.Any, *, absent: bool) -> None:
        if not isinstance(memberships, (list, tuple)):
            self.problems.append(f"{place}: accounts is {memberships!r}; allowed is a list of names or entries.")
            return
        for index, membership in enumerate(memberships):
            entry = {"name": membership} if isinstance(membership, str) else membership
            found = self._opened(f"{place}: accounts[{index}]", entry)
            if found is None:
                continue
            account_name, where, given = found
            partition = str(given.pop("partition", None) or "")
            if partition and not _PARTITION.fullmatch(partition):
                self.problems.append(f"{where}: partition is {partition!r}; allowed is the name of one partition.")
            gone = self._state(where, given) or absent
            values = self._values(where, given, fields.ASSOCIATION)
            thing = model.association(user_name, account_name, partition)
            if self._new(thing, where, absent=gone) and not gone:
                self.things[thing] = values

    def _opened(self, place: str, entry: t.Any) -> tuple[str, str, dict[str, t.Any]] | None:
        """Name, place in words, and the other keys of an entry. A key that is null counts as left out."""
        if not isinstance(entry, dict):
            self.problems.append(f"{place} is {entry!r}; allowed is an entry with a name.")
            return None
        given = {str(key): value for key, value in entry.items() if value is not None}
        name = str(given.pop("name", ""))
        if not _NAME.fullmatch(name):
            self.problems.append(
                f"{place}: name is {name!r}; allowed are lower case letters, digits and _.@+-, "
                "because Slurm keeps names in lower case."
            )
            return None
        return name, f"{place} ({name})", given

    def _state(self, place: str, given: dict[str, t.Any]) -> bool:
        state = given.pop("state", "present")
        if state not in STATES:
            self.problems.append(f"{place}: state is {state!r}; allowed is present or absent.")
        return bool(state == "absent")

    def _new(self, thing: Thing, place: str, *, absent: bool) -> bool:
        if thing in self.places:
            self.problems.append(f"{place}: the {thing} is declared twice, first as {self.places[thing]}.")
            return False
        self.places[thing] = place
        if absent and thing.built_in:
            self.problems.append(f"{place}: state is 'absent', but Slurm itself needs the {thing}.")
        if absent:
            self.absent.add(thing)
        return True

    def _values(self, place: str, given: dict[str, t.Any], attributes: Sequence[Attribute]) -> Values:
        known = {attribute.name: attribute for attribute in attributes if not attribute.limit}
        limits = {attribute.name: attribute for attribute in attributes if attribute.limit}
        values = {}
        given_limits = given.pop("limits", {}) if limits else {}
        if not isinstance(given_limits, dict):
            self.problems.append(f"{place}: limits is {given_limits!r}; allowed is a mapping of limits.")
            given_limits = {}
        for word, found, allowed in (("key", given, known), ("limit", given_limits, limits)):
            for name, value in found.items():
                if name not in allowed:
                    self.problems.append(_unknown(place, word, str(name), allowed))
                    continue
                try:
                    values[name] = allowed[name].kind.read(value)
                except BadValueError as error:
                    self.problems.append(f"{place}: {name} is {value!r}; allowed is {error}.")
        return values


def _unknown(place: str, word: str, name: str, allowed: t.Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{place}: {name!r} is an unknown {word}.{hint} Known are {', '.join(sorted(allowed))}."
