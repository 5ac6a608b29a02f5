# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes and their GPUs, alike ones on one line. Private to this collection."""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import compress, hostlist, natural
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import pair
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.tables import NODE_KEYS, NODE_OTHER

_GRES = re.compile(r"([A-Za-z0-9_]+)(?::([A-Za-z][A-Za-z0-9_.-]*))?(?::([0-9]+))?")


def check_keys(found: t.Any, known: Sequence[str], what: str) -> None:
    """Refuses what is no dictionary with a name, and keys nobody knows."""
    if not isinstance(found, Mapping) or not isinstance(found.get("name"), str):
        raise SlurmConfError(f"{what} failed: a dictionary with a name is needed, {found!r} found.")
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(known)}."
            raise SlurmConfError(f"{what} failed: {found['name']} has the unknown key {key}. {hint}")


def sorted_nodes(nodes: t.Any) -> list[Mapping[str, t.Any]]:
    """The nodes in natural order of their names, checked: the result does not depend on the inventory's order."""
    known = (*NODE_OTHER, *NODE_KEYS)
    seen = set()
    for node in nodes:
        check_keys(node, known, "Rendering nodes")
        if node["name"] in seen:
            raise SlurmConfError(
                f"Rendering nodes failed: {node['name']} is there twice. Give each node a name of its own."
            )
        seen.add(node["name"])
    return sorted(nodes, key=lambda node: natural(node["name"]))


def _listed(nodes: Sequence[Mapping[str, t.Any]], key: str) -> list[str] | None:
    """The values of a key that goes with the names one to one; None when it says nothing new."""
    values = [str(node.get(key) or node["name"]) for node in nodes]
    return None if all(value == node["name"] for value, node in zip(values, nodes, strict=True)) else values


def _grouped(
    nodes: Sequence[Mapping[str, t.Any]], shape: t.Callable[[Mapping[str, t.Any]], t.Hashable]
) -> list[list[Mapping[str, t.Any]]]:
    groups: dict[t.Hashable, list[Mapping[str, t.Any]]] = {}
    for node in nodes:
        groups.setdefault(shape(node), []).append(node)
    return list(groups.values())


def _fields(node: Mapping[str, t.Any]) -> list[tuple[str, t.Any]]:
    return [(spelled, node[key]) for key, spelled in NODE_KEYS.items() if node.get(key) not in (None, "", [])]


def node_lines(nodes: t.Any) -> list[str]:
    """One NodeName line for each shape of hardware."""
    lines = []
    for group in _grouped(sorted_nodes(nodes), lambda node: repr(_fields(node))):
        what = f"the node {group[0]['name']}"
        words = [f"NodeName={hostlist([node['name'] for node in group])}"]
        for key, spelled in (("addr", "NodeAddr"), ("hostname", "NodeHostname")):
            values = _listed(group, key)
            if values:
                words.append(pair(spelled, compress(values), what))
        words += [pair(spelled, value, what) for spelled, value in _fields(group[0])]
        lines.append(" ".join(words))
    return lines


def parse_gres(node: Mapping[str, t.Any]) -> list[tuple[str, str, int]]:
    """(name, type, count) of each generic resource of a node."""
    found = node.get("gres") or []
    parts = found.split(",") if isinstance(found, str) else found
    resources = []
    for part in parts:
        match = _GRES.fullmatch(str(part).strip())
        if not match:
            raise SlurmConfError(
                f"Rendering gres.conf failed: {node['name']} has gres {part!r}; allowed is 'gpu:2' or 'gpu:l4:2'."
            )
        resources.append((match.group(1), match.group(2) or "", int(match.group(3) or 1)))
    return resources


def _device_words(node: Mapping[str, t.Any]) -> list[list[str]]:
    """What follows NodeName= on each line of a node."""
    what = f"gres.conf of the node {node['name']}"
    if node.get("gres_autodetect"):
        return [[pair("AutoDetect", node["gres_autodetect"], what)]]
    resources = parse_gres(node)
    given = node.get("gres_file")
    if given and len(resources) != 1:
        raise SlurmConfError(
            f"Rendering {what} failed: gres_file goes with exactly one resource, {len(resources)} found in gres. "
            "Use gres_autodetect."
        )
    words, first = [], 0
    for name, kind, count in resources:
        line = [pair("Name", name, what)] + ([pair("Type", kind, what)] if kind else [])
        if given:
            line.append(pair("File", given, what))
        elif name == "gpu":
            # Without a word about files GPUs are NVIDIA's, numbered from 0 in the order of gres.
            span = str(first) if count == 1 else f"[{first}-{first + count - 1}]"
            line.append(f"File=/dev/nvidia{span}")
            first += count
        else:
            line.append(f"Count={count}")
        words.append(line)
    return words


def gres_conf(nodes: t.Any) -> str:
    """Text of gres.conf: the devices of alike nodes on one line each."""
    with_gres = [node for node in sorted_nodes(nodes) if node.get("gres") or node.get("gres_autodetect")]
    lines = []
    for group in _grouped(with_gres, lambda node: repr(_device_words(node))):
        names = hostlist([node["name"] for node in group])
        lines += [" ".join([f"NodeName={names}", *words]) for words in _device_words(group[0])]
    return "".join(line + "\n" for line in lines)
