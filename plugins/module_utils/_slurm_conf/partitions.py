# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions with their defaults. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import Fault, SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist, hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import PARTITION_KEYS, TEXT
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import Table, merge, pair
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.values import time_minutes

PARTITION: t.Final = Table({"name": TEXT, **PARTITION_KEYS}, in_snake=True)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_NAMELESS: t.Final = (
    "a dictionary with a name is needed, {!r} found; allowed in a name are letters, digits and _ . + -, the first a "
    "letter, digit or _, and DEFAULT is taken."
)
# Slurm takes the first of two and says nothing about the other (src/common/read_config.c).
_EITHER: t.Final = (
    ("AllowAccounts", "DenyAccounts"),
    ("AllowQos", "DenyQos"),
    ("DefMemPerNode", "DefMemPerCPU"),
    ("MaxMemPerNode", "MaxMemPerCPU"),
)


def _nodes(value: t.Any, known: set[str]) -> tuple[str, list[str]]:
    """The host list of a partition and what is wrong with it."""
    if isinstance(value, str) and value.upper() == "ALL":
        return "ALL", [] if known else ["it has no nodes. Give it some, or take the partition out."]
    if not isinstance(value, str | Sequence) and value is not None:
        return "", [f"nodes is {value!r}; allowed are ALL, a host list such as gpu[1-4] and a list of names."]
    try:
        names = expand_hostlist(value) if isinstance(value, str) else list(value or [])
        text = hostlist(names)
    except SlurmConfError as error:
        return "", [str(error)]
    unknown = [name for name in names if name not in known]
    if unknown:
        return text, [
            f"{unknown[0]!r} is no node ({len(unknown)} unknown of {len(names)}). Give it in nodes, or take it out of "
            "the partition."
        ]
    return text, [] if names else ["it has no nodes. Give it some, or take the partition out."]


def _pair_faults(texts: Mapping[str, str]) -> list[str]:
    faults = [
        f"{PARTITION.shown(one)} and {PARTITION.shown(other)} cannot go together. Keep one."
        for one, other in _EITHER
        if one in texts and other in texts
    ]
    numbers = [int(texts.get(key, "")) if texts.get(key, "").isdigit() else None for key in ("MinNodes", "MaxNodes")]
    if None not in numbers and numbers[0] > numbers[1]:  # type: ignore[operator]
        faults.append(f"min_nodes is {numbers[0]}; allowed is at most max_nodes, {numbers[1]}.")
    if "DefaultTime" in texts and "MaxTime" in texts:
        usual, most = time_minutes(texts["DefaultTime"]), time_minutes(texts["MaxTime"])
        if most is not None and (usual is None or usual > most):
            faults.append(
                f"default_time is {texts['DefaultTime']!r}; allowed is at most max_time, {texts['MaxTime']!r}."
            )
    return faults


def _line(partition: Mapping[str, t.Any], known: set[str], version: str | None) -> tuple[str, list[str], bool]:
    """The line of a partition, what is wrong with it, and whether it is the default."""
    values, faults = PARTITION.read(partition, version)
    name = values.pop("name")
    nodes, wrong = _nodes(values.pop("Nodes", "ALL"), known)
    faults += wrong
    texts: dict[str, str] = {}
    for key, value in values.items():
        if value in (None, "", []):
            continue
        try:
            texts[key] = PARTITION.text(key, value, PARTITION.shown(key))
        except SlurmConfError as error:
            faults.append(str(error))
    if not faults:
        faults += _pair_faults(texts)
    words = [f"PartitionName={name}", f"Nodes={nodes}", *(pair(key, text) for key, text in texts.items())]
    return " ".join(words), faults, texts.get("Default") == "yes"


def partition_lines(
    partitions: t.Any, defaults: t.Any, known: set[str], version: str | None = None
) -> tuple[list[str], list[Fault]]:
    """One line a partition in the order given, and all that is wrong with them."""
    if not isinstance(partitions, Sequence) or isinstance(partitions, str):
        return [], [Fault("partitions", "", f"a list is needed, {type(partitions).__name__} found.")]
    lines: list[str] = []
    faults: list[Fault] = []
    names: list[str] = []
    first = ""
    for partition in partitions:
        name = partition.get("name") if isinstance(partition, Mapping) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.upper() == "DEFAULT":
            faults.append(Fault("partitions", "", _NAMELESS.format(partition)))
            continue
        if name in names:
            faults.append(Fault("partitions", "", f"{name} is there twice. Give each a name of its own."))
        names.append(name)
        line, wrong, is_default = _line(merge(defaults or {}, partition), known, version)
        if is_default and first:
            wrong = [*wrong, f"default is true for {first} too. Keep one default partition."]
        first = first or (name if is_default else "")
        lines.append(line)
        faults += [Fault("partition", name, fault) for fault in wrong]
    return lines, faults
