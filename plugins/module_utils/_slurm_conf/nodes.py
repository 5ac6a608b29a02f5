# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes and their GPUs, alike ones on one line. Private to this collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import (
    Fault,
    SlurmConfError,
    raise_faults,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.gres import (
    Gres,
    autodetect_faults,
    autodetect_of,
    device_lines,
    parse_gres,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import (
    compress,
    hostlist,
    is_host,
    natural,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import NODE_ALIASES, NODE_KEYS, NODE_OTHER
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import Table, pair
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.scale import MAX_NODES

NODE: t.Final = Table({**NODE_KEYS, **dict.fromkeys(NODE_OTHER)}, aliases=NODE_ALIASES, in_snake=True)
# Keys that go with the names one to one, so that they do not keep alike nodes apart.
_EACH: t.Final = ("NodeAddr", "NodeHostname", "BcastAddr")
# The usual spellings of those, which need no look into the table.
_NAMES: t.Final = frozenset(("name", "addr", "hostname"))
_RESERVED: t.Final = ("ALL", "DEFAULT")
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:-]*")


@dataclasses.dataclass
class Shape:
    """Nodes that differ in nothing but their names and addresses."""

    nodes: list[Mapping[str, t.Any]]
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    gres: list[Gres] = dataclasses.field(default_factory=list)
    devices: list[list[str]] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [node["name"] for node in self.nodes]


@dataclasses.dataclass(frozen=True)
class Shapes:
    """All nodes, and what is wrong with them: each fault with the nodes that have it."""

    shapes: list[Shape]
    faults: list[Fault]

    @property
    def names(self) -> list[str]:
        return [name for shape in self.shapes for name in shape.names]


def _named(nodes: t.Any) -> tuple[list[Mapping[str, t.Any]], list[Fault]]:
    """The nodes that have a usable name, each name once, in natural order: the inventory's order changes nothing."""
    kept: dict[str, Mapping[str, t.Any]] = {}
    faults = []
    for node in nodes:
        name = node.get("name") if isinstance(node, Mapping) else None
        if not isinstance(name, str):
            faults.append(Fault("nodes", "", f"a dictionary with a name is needed, {node!r} found."))
        elif not is_host(name) or name.upper() in _RESERVED:
            text = (
                "Allowed are letters, digits, '.', '_' and '-', at most 64 of them, and not the words ALL and DEFAULT."
            )
            faults.append(Fault("nodes", "", f"{name!r} is no host name. {text}"))
        elif name in kept:
            faults.append(Fault("nodes", "", f"{name} is there twice. Give each node a name of its own."))
        else:
            kept[name] = node
    if len(kept) > MAX_NODES:
        faults.append(Fault("nodes", "", f"{len(kept)} nodes found, Slurm can do {MAX_NODES}."))
    return sorted(kept.values(), key=lambda node: natural(node["name"])), faults


def _topology_faults(fields: Mapping[str, str]) -> list[str]:
    """What slurmctld would reset by itself, and then drain the node for (src/common/read_config.c)."""
    number = {key: int(text) for key, text in fields.items() if text.isdigit()}
    faults = []
    cores, threads = number.get("CoresPerSocket", 1), number.get("ThreadsPerCore", 1)
    sockets = number.get("Sockets") or number.get("SocketsPerBoard", 0) * number.get("Boards", 1)
    cpus = number.get("CPUs")
    if cpus and not sockets:
        sockets = cpus // (cores * threads) if cpus % (cores * threads) == 0 else 1
    allowed = (sockets, sockets * cores, sockets * cores * threads)
    if cpus and cpus not in allowed:
        faults.append(
            f"cpus is {cpus}; allowed is the number of sockets, cores or threads: {', '.join(map(str, allowed))}."
        )
    if number.get("MemSpecLimit", -1) >= number.get("RealMemory", 1):
        faults.append(
            f"mem_spec_limit is {number['MemSpecLimit']}; allowed is less than real_memory, "
            f"{number.get('RealMemory', 1)}."
        )
    if "CoreSpecCount" in number and "CpuSpecList" in fields:
        faults.append("core_spec_count and cpu_spec_list cannot go together. Keep one.")
    if sockets and number.get("CoreSpecCount", -1) >= sockets * cores:
        faults.append(f"core_spec_count is {number['CoreSpecCount']}; allowed is less than {sockets * cores} cores.")
    return faults


def _read(shape: Shape, version: str | None, flags: Sequence[str] | None) -> None:
    """Fill in a shape from its first node."""
    node = shape.nodes[0]
    values, shape.faults = NODE.read(node, version)
    for key, kind in NODE_KEYS.items():
        value = values.get(key)
        # Empty is left out, as null is: a role's condition that finds nothing says so.
        if key in _EACH or kind is None or value in (None, "", []):
            continue
        if key == "Gres":
            shape.gres, faults = parse_gres(value)
            shape.faults += faults
        try:
            shape.fields[key] = NODE.text(key, value, NODE.shown(key))
        except SlurmConfError as error:
            shape.faults.append(str(error))
    how = autodetect_of(node)
    shape.faults += _topology_faults(shape.fields)
    shape.faults += autodetect_faults(how, shape.gres, shape.fields.get("State", ""), version, flags)
    if shape.gres or how:
        shape.devices, faults = device_lines(node, shape.gres)
        shape.faults += faults


def _key(node: Mapping[str, t.Any]) -> str:
    each = [(str(key), value) for key, value in node.items() if key not in _NAMES and NODE.spelled(key) not in _EACH]
    return repr(sorted(each))


def read_nodes(nodes: t.Any, version: str | None = None, flags: Sequence[str] | None = None) -> Shapes:
    """The nodes by their shape, and all that is wrong with them."""
    if not isinstance(nodes, Iterable) or isinstance(nodes, str | Mapping):
        raise SlurmConfError(f"Rendering nodes failed: a list is needed, {type(nodes).__name__} found.")
    usable, faults = _named(nodes)
    shapes: dict[str, Shape] = {}
    for node in usable:
        shapes.setdefault(_key(node), Shape([])).nodes.append(node)
    for shape in shapes.values():
        _read(shape, version, flags)
        faults += _address_faults(shape)
        faults += [Fault("node", hostlist(shape.names), fault) for fault in shape.faults]
    return Shapes(list(shapes.values()), faults)


def _values(shape: Shape, key: str) -> list[t.Any]:
    """What each node says of a key that goes with the names one to one."""
    names = {name for node in shape.nodes for name in node}
    spellings = [name for name in names if NODE.spelled(name) == key]
    if not spellings:
        return [None] * len(shape.nodes)
    return [next((node[name] for name in spellings if name in node), None) for node in shape.nodes]


def _address_faults(shape: Shape) -> list[Fault]:
    faults = []
    for key in _EACH:
        for value, node in zip(_values(shape, key), shape.nodes, strict=True):
            if value not in (None, "") and not (isinstance(value, str) and _ADDRESS.fullmatch(value)):
                text = f"{NODE.shown(key)} is {value!r}; allowed is a host name or an address."
                faults.append(Fault("node", node["name"], text))
    return faults


def _listed(shape: Shape, key: str) -> str:
    """The values of a key that goes with the names one to one; empty when it says nothing new."""
    found = _values(shape, key)
    if all(value in (None, "") for value in found):
        return ""
    values = [value or node["name"] for value, node in zip(found, shape.nodes, strict=True)]
    if key != "BcastAddr" and values == shape.names:
        return ""
    return pair(key, compress(values))


def node_lines(nodes: Shapes) -> list[str]:
    """One NodeName line for each shape of hardware, however it was spelled."""
    alike: dict[tuple[tuple[str, str], ...], Shape] = {}
    for shape in nodes.shapes:
        alike.setdefault(tuple(shape.fields.items()), Shape([], shape.fields)).nodes.extend(shape.nodes)
    lines = []
    for shape in alike.values():
        shape.nodes.sort(key=lambda node: natural(node["name"]))
    for shape in sorted(alike.values(), key=lambda shape: natural(shape.nodes[0]["name"])):
        each = [_listed(shape, key) for key in _EACH]
        words = [f"NodeName={hostlist(shape.names)}", *(word for word in each if word)]
        lines.append(" ".join([*words, *(pair(key, text) for key, text in shape.fields.items())]))
    return lines


def gres_conf(nodes: t.Any, version: str | None = None) -> str:
    """Text of gres.conf: the devices of alike nodes on one line each."""
    read = read_nodes(nodes, version)
    raise_faults(read.faults)
    groups: dict[str, tuple[list[str], list[list[str]]]] = {}
    for shape in read.shapes:
        if shape.devices:
            groups.setdefault(repr(shape.devices), ([], shape.devices))[0].extend(shape.names)
    lines = []
    for names, devices in sorted(groups.values(), key=lambda group: natural(min(group[0], key=natural))):
        lines += [" ".join([f"NodeName={hostlist(names)}", *words]) for words in devices]
    return "".join(line + "\n" for line in lines)
