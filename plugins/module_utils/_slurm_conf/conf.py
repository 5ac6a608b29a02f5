# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of slurm.conf. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist, hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import check_key, pair
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import check_keys, node_lines
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.tables import (
    ELSEWHERE,
    PARTITION_KEYS,
    REPEATED,
    SETTINGS,
)

_WHAT = "slurm.conf"


def merged_settings(settings: t.Any) -> dict[str, t.Any]:
    """The settings over the defaults: known keys in the table's order, others behind them by name, null ones gone.

    Slurm does not tell upper from lower case in keys, so neither does this.
    """
    if not isinstance(settings, Mapping):
        raise SlurmConfError(
            f"Rendering {_WHAT} failed: settings must be a dictionary, {type(settings).__name__} found."
        )
    spelling = {key.lower(): key for key in SETTINGS}
    given: dict[str, t.Any] = {}
    for key in settings:
        lower = check_key(key, _WHAT).lower()
        elsewhere = next((name for name in ELSEWHERE if name.lower() == lower), None)
        if elsewhere:
            raise SlurmConfError(
                f"Rendering {_WHAT} failed: {key} has no place in settings; use {ELSEWHERE[elsewhere]}."
            )
        name = spelling.setdefault(lower, key)
        if name in given:
            raise SlurmConfError(f"Rendering {_WHAT} failed: {name} is set twice, as {key} too. Keep one.")
        given[name] = settings[key]
    extra = {name: given[name] for name in sorted(given) if name not in SETTINGS}
    both = {**{name: given.get(name, value) for name, value in SETTINGS.items()}, **extra}
    return {name: value for name, value in both.items() if value is not None}


def _setting_lines(settings: t.Any) -> list[str]:
    lines = []
    for key, value in merged_settings(settings).items():
        several = key in REPEATED and isinstance(value, Sequence) and not isinstance(value, str)
        lines += [pair(key, item, _WHAT) for item in (value if several else [value])]
    for key in ("ClusterName", "SlurmctldHost"):
        if not any(line.startswith(f"{key}=") for line in lines):
            raise SlurmConfError(
                f"Rendering {_WHAT} failed: {key} is missing in settings. Slurm cannot start without it."
            )
    return lines


def _partition_nodes(partition: Mapping[str, t.Any], known: set[str]) -> str:
    value = partition.get("nodes", "ALL")
    if value == "ALL":
        return "ALL"
    names = expand_hostlist(value) if isinstance(value, str) else list(value)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SlurmConfError(
            f"Rendering the partition {partition['name']} failed: {unknown[0]!r} is no node "
            f"({len(unknown)} unknown of {len(names)}). Give it in nodes, or take it out of the partition."
        )
    return hostlist(names)


def _partition_line(partition: t.Any, known: set[str]) -> str:
    check_keys(partition, ("name", *PARTITION_KEYS), "Rendering partitions")
    what = f"the partition {partition['name']}"
    nodes = _partition_nodes(partition, known)
    words = [pair("PartitionName", partition["name"], what)] + ([f"Nodes={nodes}"] if nodes else [])
    words += [
        pair(spelled, partition[key], what)
        for key, spelled in PARTITION_KEYS.items()
        if key != "nodes" and partition.get(key) is not None
    ]
    return " ".join(words)


def slurm_conf(settings: t.Any, nodes: t.Any, partitions: t.Any) -> str:
    """Text of slurm.conf; the same input in any order of nodes gives the same text."""
    known = {node["name"] for node in nodes if isinstance(node, Mapping) and "name" in node}
    names = [partition.get("name") for partition in partitions if isinstance(partition, Mapping)]
    for name in names:
        if names.count(name) > 1:
            raise SlurmConfError(f"Rendering partitions failed: {name} is there twice. Give each a name of its own.")
    blocks = [
        _setting_lines(settings),
        node_lines(nodes),
        [_partition_line(partition, known) for partition in partitions],
    ]
    return "\n".join("".join(line + "\n" for line in block) for block in blocks if block)
