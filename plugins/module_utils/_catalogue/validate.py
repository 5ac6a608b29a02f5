# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong with a catalogue, in words. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine import engine_faults, lone_words
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.key import COMMIT_PATTERN
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.merge import (
    complete,
    read_table,
    selected_names,
    with_overrides,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import (
    DEFAULTS_VARIABLE,
    MODEL_KEYS,
    MODELS_VARIABLE,
    NAME_PATTERN,
    OVERRIDES_VARIABLE,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import nearest, show

# What listens there on the same hosts: Slurm's daemons by default, and builds and models while they are handed out.
_TAKEN_PORTS: t.Final = {
    6817: "slurmctld",
    6818: "slurmd",
    6819: "slurmdbd",
    8098: "model_store_peer_port",
    8099: "artifact_port",
}
# The variables that select: what -e gave, else what the site serves.
_SELECTION = "model (or vllm_site_models)"


def _where(index: int, entry: Mapping[str, t.Any]) -> str:
    return f"{MODELS_VARIABLE}[{index}]" + (f" ({_shown(entry['name'])})" if isinstance(entry.get("name"), str) else "")


def _shown(name: t.Any) -> str:
    """A name as it is, or quoted and cut where it could not be a name."""
    return name if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name) else show(name)


def _known(models: t.Any) -> list[str]:
    names = (entry.get("name") for entry in models if isinstance(entry, Mapping))
    return [str(name) for name in names if isinstance(name, str)]


def _listed(known: Sequence[str]) -> str:
    return f"Known models: {', '.join(known) if known else f'none, {MODELS_VARIABLE} is empty'}."


def check_defaults(defaults: t.Any) -> tuple[dict[str, t.Any], list[str]]:
    """The defaults of all entries, read, and what is wrong with them."""
    if defaults is None:
        return {}, []
    if not isinstance(defaults, Mapping):
        return {}, [f"{DEFAULTS_VARIABLE}: {show(defaults)} found; allowed is a dictionary."]
    table = {name: key for name, key in MODEL_KEYS.items() if key.defaultable}
    own = [name for name in defaults if name in MODEL_KEYS and name not in table]
    problems = [f"{DEFAULTS_VARIABLE}: {name} belongs to each model; allowed are {', '.join(table)}." for name in own]
    rest = {name: value for name, value in defaults.items() if name not in own}
    values, more = read_table(table, rest, DEFAULTS_VARIABLE)
    return values, problems + more


def check_overrides(models: Sequence[t.Any], overrides: t.Any) -> tuple[dict[str, dict[str, t.Any]], list[str]]:
    """What the site says otherwise, as far as it can be merged, and what is wrong with the rest."""
    if overrides is None:
        return {}, []
    known = _known(models)
    if not isinstance(overrides, Mapping):
        return {}, [
            f"{OVERRIDES_VARIABLE}: {show(overrides)} found; allowed is a dictionary of model names, each with a "
            f"dictionary of keys. {_listed(known)}"
        ]
    mergeable: dict[str, dict[str, t.Any]] = {}
    problems: list[str] = []
    for name, found in overrides.items():
        where = f"{OVERRIDES_VARIABLE}: {_shown(name)}"
        if name not in known:
            problems.append(f"{where} is no model of {MODELS_VARIABLE}.{nearest(name, known)} {_listed(known)}")
        elif isinstance(found, Mapping):
            faults = {key: read_table(MODEL_KEYS, {key: value}, where)[1] for key, value in found.items()}
            problems += [fault for faults_of_key in faults.values() for fault in faults_of_key]
            mergeable[name] = {key: value for key, value in found.items() if not faults[key]}
        elif found is not None:
            problems.append(f"{where}: {show(found)} found; allowed is a dictionary of keys.")
    return mergeable, problems


def _check_facts(entry: Mapping[str, t.Any], where: str) -> list[str]:
    problems = []
    length, context = entry["max_model_len"], entry["context_length"]
    if length and context and length > context:
        problems.append(
            f"{where}: max_model_len: {length} found; allowed is at most the model's context_length, {context}."
        )
    if entry["port"] in _TAKEN_PORTS:
        problems.append(
            f"{where}: port: {entry['port']} found; allowed is any that nothing else listens on, and this one is "
            f"{_TAKEN_PORTS[entry['port']]}'s."
        )
    if entry["trust_remote_code"] and not re.fullmatch(COMMIT_PATTERN, entry["revision"]):
        problems.append(
            f"{where}: revision: {entry['revision']!r} found; with trust_remote_code allowed is only a commit of 40 "
            "hexadecimal digits, because any other name may bring new code tomorrow."
        )
    return problems + [f"{where}: {fault}." for fault in engine_faults(entry)]


def check_entry(index: int, found: t.Any, defaults: Mapping[str, t.Any]) -> tuple[dict[str, t.Any] | None, list[str]]:
    """One entry, complete, and what is wrong with it; None when it cannot be completed."""
    if not isinstance(found, Mapping):
        return None, [f"{MODELS_VARIABLE}[{index}]: {show(found)} found; allowed is a dictionary of keys."]
    where = _where(index, found)
    values, problems = read_table(MODEL_KEYS, found, where)
    problems += [
        f"{where}: {key.name} is missing; needed is {key.allows()}."
        for key in MODEL_KEYS.values()
        if key.required and found.get(key.name) is None
    ]
    if problems:
        return None, problems
    entry, impossible = complete(values, defaults)
    if impossible:
        return None, [f"{where}: {impossible}."]
    return entry, _check_facts(entry, where) + [f"{where}: {fault}." for fault in lone_words(values)]


def _shared(models: Sequence[t.Any], key: str, why: str) -> list[str]:
    """Messages for values of a key that must belong to one entry only."""
    seen: dict[str, int] = {}
    problems = []
    for index, entry in enumerate(models):
        if not isinstance(entry, Mapping) or not isinstance(entry.get(key), (str, int)):
            continue
        value = str(entry[key])
        if value in seen:
            problems.append(
                f"{_where(index, entry)}: {key}: {show(entry[key])} found, as in "
                f"{_where(seen[value], models[seen[value]])}; {why}."
            )
        seen.setdefault(value, index)
    return problems


def check_selection(models: Sequence[t.Any], selection: t.Any) -> list[str]:
    """Messages for selected names that no entry has, and for one that selects nothing."""
    if selection is not None and not isinstance(selection, (str, Sequence)):
        return [f"{_SELECTION}: {show(selection)} found; allowed is 'a,b' or a list of names."]
    known = _known(models)
    names = selected_names(selection)
    # Nothing given means all; something given that names nothing is most often a variable of a script that was empty.
    if (isinstance(selection, str) or selection) and not names:
        return [
            f"{_SELECTION}: {show(selection)} found; allowed is 'a,b' or a list of names. Leave it out to select all. "
            f"{_listed(known)}"
        ]
    return [
        f"{_SELECTION}: {show(name)} is no model of {MODELS_VARIABLE}.{nearest(name, known)} {_listed(known)}"
        for name in names
        if name not in known
    ]


def catalogue_problems(
    models: t.Any, defaults: t.Any = None, selection: t.Any = None, overrides: t.Any = None
) -> list[str]:
    """Readable messages, none when the catalogue can be used."""
    if isinstance(models, str) or not isinstance(models, Sequence):
        shape = [f"{MODELS_VARIABLE}: {show(models)} found; allowed is a list of models."]
        return shape + check_defaults(defaults)[1]
    values, problems = check_defaults(defaults)
    mergeable, more = check_overrides(models, overrides)
    problems += more
    merged = with_overrides(models, mergeable)
    for index, found in enumerate(merged):
        problems += check_entry(index, found, values)[1]
    problems += _shared(merged, "name", "allowed is a name of its own for each model")
    problems += _shared(merged, "port", "allowed is a port of its own for each model")
    return problems + check_selection(merged, selection)
