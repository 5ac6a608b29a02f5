# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what people wrote to complete entries. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.flags import key_of_option
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.parallel import settle
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import MODEL_KEYS, Key
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import (
    BadValueError,
    empty_value,
    nearest,
    read_value,
)


def read_table(table: Mapping[str, Key], found: Mapping[str, t.Any], where: str) -> tuple[dict[str, t.Any], list[str]]:
    """The values that were set, read by their rows, and a message for each that cannot be.

    A value that is empty where the row's default is empty or absent counts as not set.
    """
    values: dict[str, t.Any] = {}
    problems: list[str] = []
    for name, value in found.items():
        key = table.get(name) if isinstance(name, str) else None
        if key is None:
            meant = key_of_option(str(name))
            near = f" Did you mean {meant}?" if meant in table else nearest(name, table)
            hint = near or f" Known keys: {', '.join(table)}."
            shown = name if isinstance(name, str) and name.isprintable() else repr(name)
            problems.append(f"{where}: {shown} is no known key.{hint}")
            continue
        if value is None or (value == "" and not key.required):
            continue
        try:
            values[key.name] = read_value(key, value)
        except BadValueError as error:
            problems += [f"{where}: {key.name}: {fault}" for fault in error.faults]
    return values, problems


def complete(values: Mapping[str, t.Any], defaults: Mapping[str, t.Any]) -> tuple[dict[str, t.Any], str | None]:
    """An entry with every key of the schema in its order, and what is impossible about its sizes.

    env is merged name by name; extra_args of the entry follow those of the defaults, and in the engine the last wins.
    """
    entry: dict[str, t.Any] = {}
    if values.get("runtime") == "venv":
        # The way back from a default: an image of all other entries is not this one's.
        defaults = {name: value for name, value in defaults.items() if name != "image"}
    for name, key in MODEL_KEYS.items():
        entry[name] = values.get(name, defaults.get(name, empty_value(key)))
    entry["env"] = {**defaults.get("env", {}), **values.get("env", {})}
    entry["extra_args"] = [*defaults.get("extra_args", []), *values.get("extra_args", [])]
    settled, problem = settle(entry)
    entry.update(settled)
    return entry, problem


def selected_names(selection: t.Any) -> list[str]:
    """Names out of 'a,b' or a list, each once, in order. None or an empty list: all, said as an empty list."""
    if selection is None:
        return []
    parts: Sequence[t.Any] = selection.split(",") if isinstance(selection, str) else selection
    names = (str(part).strip() for part in parts)
    return list(dict.fromkeys(name for name in names if name))


def with_overrides(models: Sequence[t.Any], overrides: Mapping[str, Mapping[str, t.Any]]) -> list[t.Any]:
    """The catalogue with the keys that a site says otherwise, by model name. What is no entry is left as it is."""
    return [
        {**entry, **overrides.get(str(entry.get("name")), {})} if isinstance(entry, Mapping) else entry
        for entry in models
    ]
