# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an inventory that no role knows, or that hold what their role cannot use. Private to this collection."""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import show

_NOUNS: t.Final = {
    "bool": "true or false",
    "dict": "a dictionary",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "a text",
}
# A variable of ours without a role's prefix, given on the command line. Misspelt it would stand for every model.
_SELECTION = "model"
_SECRET = re.compile(r"pass|secret|token", re.IGNORECASE)
# Words that YAML reads as booleans unless they are quoted.
_BOOLEAN_WORDS = ("on", "off", "yes", "no", "true", "false")


def unknown_variables(
    hostvars: Mapping[str, Iterable[str]], hosts: Iterable[str], known: Iterable[str], roles: Iterable[str]
) -> list[str]:
    """A message for each variable that begins with a role's prefix, or looks like "model", and is no known one.

    A known name may be a pattern, such as vllm_*_revision.
    """
    known = set(known)
    patterns = [name for name in known if "*" in name]
    prefixes = tuple(f"{role}_" for role in roles)
    found: dict[str, list[str]] = {}
    # Most names are those of every host: each is judged once.
    strange: dict[str, bool] = {}
    for host in hosts:
        for name in hostvars[host]:
            if name not in strange:
                ours = name.startswith(prefixes) or _is_nearly(name, _SELECTION)
                strange[name] = ours and name not in known and not _matches(name, patterns)
            if strange[name]:
                found.setdefault(name, []).append(host)
    known.add(_SELECTION)
    return [_message(name, hosts_with, sorted(known)) for name, hosts_with in sorted(found.items())]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_nearly(name: str, wanted: str) -> bool:
    return name != wanted and bool(difflib.get_close_matches(name, [wanted], cutoff=0.9))


def _message(name: str, hosts: list[str], known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    other = "Name your own variables otherwise, or list them in preflight_known_variables."
    hint = f" Did you mean {near[0]}?" if near else f" {other}"
    return f"The variable {name} (set for {_where(hosts)}) is known to no role.{hint}"


def wrong_types(given: Mapping[str, Mapping[str, t.Any]], options: Mapping[str, Mapping[str, t.Any]]) -> list[str]:
    """A message for each variable whose value is not what the option of its name allows; `given` is by host."""
    found: dict[str, list[str]] = {}
    for host, values in given.items():
        for name, option in options.items():
            if name in values and not fits(values[name], option):
                message = f"{_shown(name, values[name], option)} found; allowed is {allowed(option)}."
                found.setdefault(f"{name}: {message}", []).append(host)
    return [f"{message} (Set for {_where(hosts)}.)" for message, hosts in sorted(found.items())]


def fits(value: t.Any, option: Mapping[str, t.Any]) -> bool:
    """Whether the role can use the value as it stands: nobody converts it as Ansible does for modules."""
    kind = option.get("type", "str")
    if kind == "raw":
        return True
    if kind == "dict":
        return isinstance(value, Mapping)
    if kind == "list":
        items = {"type": option.get("elements", "raw"), "choices": option.get("choices")}
        return _is_list(value) and all(fits(item, items) for item in value)
    if isinstance(value, Mapping) or _is_list(value):
        return False
    # Empty in YAML: for a role the same as an empty text.
    if value is None:
        return kind in ("str", "path")
    try:
        DEFAULT_TYPE_VALIDATORS[kind](value)
    except (TypeError, ValueError):
        return False
    return not option.get("choices") or str(value) in map(str, option["choices"])


def allowed(option: Mapping[str, t.Any]) -> str:
    """What may be written, in words."""
    kind = option.get("type", "str")
    if option.get("choices"):
        quoted = [
            json.dumps(choice) if str(choice).lower() in _BOOLEAN_WORDS else str(choice) for choice in option["choices"]
        ]
        return "one of " + ", ".join(quoted)
    if kind == "list" and option.get("elements", "raw") != "raw":
        return f"a list, each element {_NOUNS.get(option['elements'], option['elements'])}"
    return _NOUNS.get(kind, kind)


def _is_list(value: t.Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _shown(name: str, value: t.Any, option: Mapping[str, t.Any]) -> str:
    return "a value (not shown)" if option.get("no_log") or _SECRET.search(f"{name} {value}") else show(value)


def _where(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
