# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""topology.conf and topology.yaml: which nodes are near to each other. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist, hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import too_old
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.values import is_whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DOING: t.Final = "Rendering the topology failed: "
# topology.yaml came with 25.05, which is the first that can have several topologies.
YAML_SINCE: t.Final = "25.05"
_KEYS: t.Final = {
    "tree": ("name", "type", "default", "switches"),
    "block": ("name", "type", "default", "blocks", "block_sizes"),
    "flat": ("name", "type", "default"),
}
_UNIT_KEYS: t.Final = {"switches": ("name", "nodes", "switches"), "blocks": ("name", "nodes")}


class Unit(t.NamedTuple):
    """A switch or a block: its nodes, or the switches below it, as host lists."""

    name: str
    nodes: str
    children: str


class Topology(t.NamedTuple):
    """One topology, checked."""

    name: str
    kind: str
    default: bool
    units: list[Unit]
    sizes: list[int]


class _Check:
    """Collects what is wrong while it reads."""

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.faults: list[str] = []

    def names(self, value: t.Any, where: str) -> list[str]:
        try:
            return expand_hostlist(value) if isinstance(value, str) else [str(name) for name in value or []]
        except (SlurmConfError, TypeError) as error:
            self.faults.append(f"{where}: {error}")
            return []

    def keys(self, given: Mapping[str, t.Any], allowed: Sequence[str], where: str) -> None:
        for key in given:
            if key not in allowed:
                self.faults.append(f"{where}: there is no key {key}; allowed are {', '.join(allowed)}.")

    def unit(self, given: t.Any, kind: str, where: str) -> tuple[Unit, list[str], list[str]] | None:
        name = given.get("name") if isinstance(given, Mapping) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.faults.append(f"{where}: a dictionary with a name of at most 64 letters is needed, {given!r} found.")
            return None
        here = f"{where} {name}"
        self.keys(given, _UNIT_KEYS[kind], here)
        nodes, below = (self.names(given.get(key), here) for key in ("nodes", "switches"))
        if bool(nodes) == bool(below):
            self.faults.append(f"{here}: either nodes or switches are needed, and not both.")
        unknown = [node for node in nodes if node not in self.known]
        if unknown:
            self.faults.append(f"{here}: {unknown[0]!r} is no node ({len(unknown)} unknown of {len(nodes)}).")
        try:
            return Unit(name, hostlist(nodes), hostlist(below)), nodes, below
        except SlurmConfError as error:
            self.faults.append(f"{here}: {error}")
            return None

    def units(self, given: t.Any, kind: str, where: str, *, complete: bool) -> list[Unit]:
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            self.faults.append(f"{where}: {kind} must be a list with something in it.")
            return []
        units: dict[str, Unit] = {}
        seen: dict[str, str] = {}
        children: dict[str, str] = {}
        for one in given:
            read = self.unit(one, kind, where)
            if read is None:
                continue
            unit, nodes, below = read
            if unit.name in units:
                self.faults.append(f"{where}: {unit.name} is there twice.")
            units[unit.name] = unit
            for names, taken in ((nodes, seen), (below, children)):
                for name in names:
                    if name in taken:
                        self.faults.append(f"{where}: {name} is under {taken[name]} and under {unit.name}. Keep one.")
                    taken[name] = unit.name
        self.whole(units, children, where)
        missing = [name for name in self.known if name not in seen]
        if missing and units and complete:
            self.faults.append(f"{where}: {hostlist(sorted(missing))} are in none of it. Add them.")
        return list(units.values())

    def whole(self, units: Mapping[str, Unit], below: Mapping[str, str], where: str) -> None:
        """Every switch that is named is there, and none is below itself."""
        self.faults += [f"{where}: {name}, under {below[name]}, is no switch." for name in below if name not in units]
        for name in below:
            above, steps = name, 0
            while above in below and steps <= len(below):
                above, steps = below[above], steps + 1
            if steps > len(below):
                self.faults.append(f"{where}: {name} is below itself.")
                return


def _sizes(given: t.Any, check: _Check, where: str) -> list[int]:
    """Each a power of two times the one before (topology.conf(5), BlockSizes)."""
    sizes = given if isinstance(given, list) else [given] if given is not None else []
    if not all(is_whole(size) and size > 0 for size in sizes):
        check.faults.append(f"{where}: block_sizes is {given!r}; allowed is a list of whole numbers from 1.")
        return []
    for less, more in zip(sizes, sizes[1:], strict=False):
        times = more // less
        if more % less or times < 2 or times & (times - 1):
            check.faults.append(f"{where}: block_sizes has {more} after {less}; allowed is {less} times 2, 4, 8, ...")
    return sizes


def read_topologies(given: t.Any, known: set[str]) -> tuple[list[Topology], list[str]]:
    """The topologies and all that is wrong with them."""
    check = _Check(known)
    topologies: list[Topology] = []
    given = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for one in given:
        name = one.get("name") if isinstance(one, Mapping) else None
        kind = one.get("type") if isinstance(one, Mapping) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name) or kind not in _KEYS:
            check.faults.append(f"a dictionary with a name and a type (tree, block or flat) is needed, {one!r} found.")
            continue
        check.keys(one, _KEYS[kind], name)
        if name in [other.name for other in topologies]:
            check.faults.append(f"{name} is there twice. Give each a name of its own.")
        word = {"tree": "switches", "block": "blocks"}.get(kind, "")
        # "All nodes in the network must be connected to at least one switch" (topology.conf(5)).
        complete = kind == "tree" and (len(given) == 1 or one.get("default") is True)
        units = check.units(one.get(word), word, name, complete=complete) if word else []
        sizes = _sizes(one.get("block_sizes"), check, name)
        smallest = min((len(expand_hostlist(unit.nodes)) for unit in units), default=0)
        if kind == "block" and sizes and units and smallest < sizes[0]:
            check.faults.append(f"{name}: a block has {smallest} nodes; allowed is at least {sizes[0]} (block_sizes).")
        topologies.append(Topology(name, kind, one.get("default") is True, units, sizes))
    return topologies, check.faults


def _conf(topology: Topology) -> str:
    if topology.kind == "flat":
        return ""
    word = "SwitchName" if topology.kind == "tree" else "BlockName"
    lines = [
        f"{word}={unit.name} " + (f"Nodes={unit.nodes}" if unit.nodes else f"Switches={unit.children}")
        for unit in topology.units
    ]
    lines += [f"BlockSizes={','.join(map(str, topology.sizes))}"] if topology.sizes else []
    return "".join(line + "\n" for line in lines)


def _yaml(topology: Topology) -> str:
    """Written by hand: the order of keys matters (topology.yaml(5)), and a text is always in quotes."""
    lines = [f'- topology: "{topology.name}"', f"  cluster_default: {str(topology.default).lower()}"]
    if topology.kind == "flat":
        return "".join(f"{line}\n" for line in [*lines, "  flat: true"])
    one, many, below = ("switch", "switches", "children") if topology.kind == "tree" else ("block", "blocks", "")
    lines.append(f"  {topology.kind}:")
    if topology.sizes:
        lines += ["    block_sizes:", *(f"      - {size}" for size in topology.sizes)]
    lines.append(f"    {many}:")
    for unit in topology.units:
        lines.append(f'      - {one}: "{unit.name}"')
        lines.append(f'        nodes: "{unit.nodes}"' if unit.nodes else f'        {below}: "{unit.children}"')
    return "".join(f"{line}\n" for line in lines)


def topology_file(topologies: t.Any, nodes: t.Iterable[str], version: str) -> dict[str, str]:
    """Name of the file for this version of Slurm, its text, and the plugin that slurm.conf must name (empty: none).

    One topology is a topology.conf, which every version reads; several, or one that is not for all partitions, are a
    topology.yaml, from Slurm 25.05 on. Where both are, Slurm takes the second alone.
    """
    if not topologies:
        return {"name": "", "text": "", "plugin": ""}
    read, faults = read_topologies(topologies, set(nodes))
    defaults = [one.name for one in read if one.default]
    if len(defaults) > 1:
        faults.append(f"default is true for {' and '.join(defaults)}. Keep one.")
    if len(read) > 1 and too_old(version, YAML_SINCE):
        faults.append(f"{len(read)} topologies need Slurm {YAML_SINCE} or newer, slurm_version is {version}.")
    if faults:
        raise SlurmConfError("\n".join(f"{_DOING}{fault}" for fault in dict.fromkeys(faults)))
    if len(read) == 1:
        # Flat was called default before.
        kind = "default" if read[0].kind == "flat" and too_old(version, YAML_SINCE) else read[0].kind
        return {"name": "topology.conf", "text": _conf(read[0]), "plugin": f"topology/{kind}"}
    return {"name": "topology.yaml", "text": "---\n" + "".join(_yaml(one) for one in read), "plugin": ""}
