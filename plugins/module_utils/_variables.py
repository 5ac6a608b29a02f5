# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables of an inventory no role knows. Private to this collection."""

from __future__ import annotations

import difflib
import fnmatch
import typing as t
from collections.abc import Iterable, Mapping


def unknown_variables(
    hostvars: Mapping[str, Iterable[str]], hosts: Iterable[str], known: Iterable[str], roles: Iterable[str]
) -> list[str]:
    """A message for each variable that begins with a role's prefix and is none of the known ones.

    A known name may be a pattern, such as vllm_*_revision.
    """
    known = set(known)
    patterns = [name for name in known if "*" in name]
    prefixes = tuple(f"{role}_" for role in roles)
    found: dict[str, list[str]] = {}
    for host in hosts:
        for name in hostvars[host]:
            if name.startswith(prefixes) and name not in known and not _matches(name, patterns):
                found.setdefault(name, []).append(host)
    return [_message(name, hosts_with, sorted(known)) for name, hosts_with in sorted(found.items())]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _message(name: str, hosts: list[str], known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    other = "Name your own variables otherwise, or list them in preflight_known_variables."
    hint = f" Did you mean {near[0]}?" if near else f" {other}"
    where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
    return f"The variable {name} (set for {where}) is known to no role.{hint}"


def spec_of_given(options: Mapping[str, Mapping[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """An argument specification that checks what was given and demands and defaults nothing.

    Role defaults are not loaded yet when the inventory is checked, so an absent variable says nothing.
    """
    return {
        name: {key: value for key, value in option.items() if key not in ("required", "default")}
        for name, option in options.items()
    }
