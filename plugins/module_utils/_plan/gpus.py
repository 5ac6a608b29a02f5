# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs there are: what Slurm or a person says, and what GPUs of a type have. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist

GIB: t.Final = 1024**3
MIB: t.Final = 1024**2
# The columns that parse_sinfo reads.
SINFO: t.Final = "sinfo --Node --noheader --format=%N|%G|%R"
_GRES = re.compile(r"gpu(?::(?P<type>[A-Za-z][A-Za-z0-9_.-]*))?:(?P<count>[0-9]+)(?:\(.*?\))?")


class Kind(t.NamedTuple):
    """GPUs of one type: GiB that a program sees (less than what is printed on them), capability, links."""

    gib: float
    capability: float
    nvlink: bool


# Memory as PyTorch reports it ("total capacity of ... GiB" where memory is exhausted). Read in public reports for GPUs
# of 24 GB and the B200; the others are general knowledge, to be compared with one's own.
KINDS: t.Final = {
    "v100": Kind(15.77, 7.0, True),
    "t4": Kind(14.56, 7.5, False),
    "a10": Kind(22.03, 8.6, False),
    "a10g": Kind(22.03, 8.6, False),
    "a30": Kind(23.49, 8.0, False),
    "a40": Kind(44.34, 8.6, False),
    "a100": Kind(39.38, 8.0, True),
    "l4": Kind(22.03, 8.9, False),
    "l40": Kind(44.39, 8.9, False),
    "l40s": Kind(44.39, 8.9, False),
    "rtx_pro_6000": Kind(94.97, 12.0, False),
    "h100": Kind(79.1, 9.0, True),
    "h200": Kind(139.7, 9.0, True),
    "gh200": Kind(94.5, 9.0, True),
    "b200": Kind(178.3, 10.0, True),
    "b300": Kind(267.6, 10.3, True),
}


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    type: str
    memory: int
    capability: float
    nvlink: bool


@dataclass(frozen=True)
class Group:
    """Nodes with GPUs of one type, and as many each."""

    gpu: Gpu
    gpus: int
    nodes: int
    partitions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def words(self) -> str:
        """The group in words."""
        where = f" in partition {', '.join(self.partitions)}" if self.partitions else ""
        return f"{self.nodes} node{'s' if self.nodes > 1 else ''} with {self.gpus} x {self.gpu.type} each{where}"


def kind_of(type_name: str) -> tuple[str, Kind] | None:
    """The kind that a type of Slurm means: 'l4', 'nvidia_l4', 'nvidia_h100_80gb_hbm3'."""
    words = re.split(r"[^a-z0-9]+", type_name.lower())
    text = "_".join(words)
    found = [name for name in KINDS if name in words or f"_{name}_" in f"_{text}_"]
    if not found:
        return None
    name = max(found, key=len)
    kind = KINDS[name]
    sizes = [int(word[:-2]) for word in words if re.fullmatch(r"[0-9]+gb", word)]
    # Types that Slurm detects itself carry the size: nvidia_a100-sxm4-80gb.
    gib = sizes[0] * 0.988 if sizes and abs(sizes[0] - kind.gib) > 8 else kind.gib
    return name, Kind(gib, kind.capability, kind.nvlink and "pcie" not in words)


def gpu_of(type_name: str, memory_mib: t.Any = None, nvlink: t.Any = None) -> Gpu:
    """A GPU by its type, and by what is said about it."""
    known = kind_of(type_name)
    given = memory_mib if isinstance(memory_mib, int) and not isinstance(memory_mib, bool) and memory_mib > 0 else None
    if known is None and given is None:
        raise PlanError(
            f"Planning for GPUs of type {type_name or '(none)'!r} failed: their memory is not known. Known types: "
            f"{', '.join(KINDS)}. Give type and memory (MiB of one GPU, as nvidia-smi shows) in plan_gpus."
        )
    kind = known[1] if known else Kind(0.0, 8.0, False)
    memory = round(kind.gib * GIB)
    # A size that is near the known one is the printed one; programs see less.
    if given is not None and not (known and abs(given * MIB - memory) < 0.06 * memory):
        memory = round(given * MIB * 0.985)
    link = nvlink if isinstance(nvlink, bool) else kind.nvlink
    return Gpu(type_name or "gpu", memory, kind.capability, link)


def parse_sinfo(lines: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """Groups of nodes out of what SINFO prints: a line a node and partition. Nodes without GPUs are left out.

    The state of a node is not looked at: a plan must not change because a node is down today.
    """
    nodes: dict[tuple[str, str, int], set[str]] = {}
    for line in lines:
        node, gres, partition = [*line.strip().split("|", 2), "", ""][:3]
        for match in _GRES.finditer(gres):
            key = (node, match["type"] or "", int(match["count"]))
            nodes.setdefault(key, set()).add(partition.rstrip("*"))
    groups: dict[tuple[str, int, tuple[str, ...]], list[str]] = {}
    for (node, kind, count), partitions in nodes.items():
        groups.setdefault((kind, count, tuple(sorted(partitions))), []).append(node)
    return [
        {"type": kind, "gpus": count, "nodes": sorted(names), "partition": ",".join(partitions)}
        for (kind, count, partitions), names in sorted(groups.items())
    ]


def _nodes(found: t.Any) -> tuple[str, ...] | int:
    if isinstance(found, int) and not isinstance(found, bool) and found > 0:
        return found
    try:
        if isinstance(found, str) and found:
            return tuple(expand_hostlist(found))
    except SlurmConfError as error:
        raise PlanError(f"Reading plan_gpus failed: nodes: {error}") from error
    if isinstance(found, Sequence) and not isinstance(found, str) and found:
        return tuple(str(name) for name in found)
    raise PlanError(
        f"Reading plan_gpus failed: nodes: {found!r} found; allowed is a number of at least 1, a host list such as "
        "'gpu[1-4]', or a list of names."
    )


_KEYS: t.Final = ("nodes", "gpus", "type", "memory", "nvlink", "partition")


def read_groups(found: t.Any) -> list[Group]:
    """Groups out of plan_gpus or parse_sinfo."""
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise PlanError(f"Reading plan_gpus failed: {found!r} found; allowed is a list of dictionaries.")
    groups = []
    for one in found:
        if not isinstance(one, Mapping) or any(name not in _KEYS for name in one):
            raise PlanError(f"Reading plan_gpus failed: {one!r} found; allowed is a dictionary of {', '.join(_KEYS)}.")
        count = one.get("gpus")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise PlanError(f"Reading plan_gpus failed: gpus: {count!r} found; allowed is a number of at least 1.")
        nodes = _nodes(one.get("nodes", 1))
        names = () if isinstance(nodes, int) else nodes
        partitions = tuple(name for name in str(one.get("partition") or "").split(",") if name)
        gpu = gpu_of(str(one.get("type") or ""), one.get("memory"), one.get("nvlink"))
        groups.append(Group(gpu, count, nodes if isinstance(nodes, int) else len(nodes), partitions, names))
    return groups
