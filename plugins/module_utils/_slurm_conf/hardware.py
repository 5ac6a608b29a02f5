# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has, from what slurmd and nvidia-smi print. Private to this collection."""

from __future__ import annotations

import csv
import dataclasses
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError

_PAIR = re.compile(r"(\w+)=(\S+)")
_GPU = re.compile(r"GPU ([0-9]+): (.+?)(?: \(UUID: ([^)]*)\))?")
_MIG = re.compile(r"\s+MIG (\S+)\s+Device\s+([0-9]+):(?: \(UUID: ([^)]*)\))?")
# What slurmd -C prints -> the key of a node.
_SLURMD: t.Final = {
    "CPUs": "cpus",
    "Boards": "boards",
    "SocketsPerBoard": "sockets_per_board",
    "CoresPerSocket": "cores_per_socket",
    "ThreadsPerCore": "threads_per_core",
    "RealMemory": "real_memory",
}
# Brands in front of a model's name, which no type needs.
_BRANDS: t.Final = ("nvidia", "tesla", "geforce", "quadro")


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU as the driver numbers it, and its parts where it is cut into some (MIG)."""

    index: int
    name: str
    uuid: str = ""
    mig: tuple[str, ...] = ()


def parse_slurmd(text: str) -> dict[str, t.Any]:
    """What `slurmd -C` says of the host that it runs on, by the keys of a node."""
    line = next((line for line in text.splitlines() if line.startswith("NodeName=")), "")
    pairs = dict(_PAIR.findall(line))
    numbers = {key: pairs[name] for name, key in _SLURMD.items() if name in pairs}
    if "cpus" not in numbers or "real_memory" not in numbers or not all(one.isdigit() for one in numbers.values()):
        raise SlurmConfError(
            f"Reading what slurmd -C printed failed: no line with NodeName, CPUs and RealMemory in {text[:200]!r}. "
            "Run it on the node by hand."
        )
    return {
        "name": pairs["NodeName"],
        **{key: int(value) for key, value in numbers.items()},
        **({"gres": pairs["Gres"]} if "Gres" in pairs else {}),
    }


def parse_gpu_list(text: str) -> list[Gpu]:
    """The GPUs that `nvidia-smi -L` lists, with their MIG devices."""
    gpus: list[Gpu] = []
    for line in text.splitlines():
        gpu, part = _GPU.fullmatch(line.rstrip()), _MIG.fullmatch(line.rstrip())
        if gpu:
            gpus.append(Gpu(int(gpu[1]), gpu[2], gpu[3] or ""))
        elif part and gpus:
            gpus[-1] = dataclasses.replace(gpus[-1], mig=(*gpus[-1].mig, part[1]))
        elif line.strip() and not line.startswith("No devices"):
            raise SlurmConfError(
                f"Reading what nvidia-smi -L printed failed: {line.strip()!r} is no GPU. Look at the driver (dmesg)."
            )
    return gpus


def parse_gpu_csv(text: str) -> list[dict[str, t.Any]]:
    """Rows of `nvidia-smi --query-gpu=... --format=csv` by their names; numbers without their unit, None for [N/A]."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    if not rows:
        return []
    names = [re.sub(r" \[.*\]$", "", name) for name in rows[0]]
    found = []
    for row in rows[1:]:
        if len(row) != len(names):
            raise SlurmConfError(
                f"Reading what nvidia-smi printed failed: {','.join(row)!r} has not the {len(names)} columns "
                "of its head."
            )
        found.append({name: _cell(cell) for name, cell in zip(names, row, strict=True)})
    return found


def _cell(cell: str) -> t.Any:
    if cell.startswith("["):
        return None
    if cell.isdigit():
        return int(cell)
    # A driver's version has a dot too, but no unit.
    number = re.fullmatch(r"([0-9]+)(\.[0-9]+)? (?:MiB|W|%|MHz|C)", cell)
    if not number:
        return cell
    return float(number[1] + number[2]) if number[2] else int(number[1])


def gpu_type(name: str) -> str:
    """The type for GRES of a GPU's product name: part of the name that AutoDetect finds, as gres.conf(5) wants it."""
    words = [word for word in re.split(r"[ -]", name.lower()) if word and word not in _BRANDS]
    taken: list[str] = []
    # A model has a number: a100, l40s, rtx_pro_6000.
    for word in words:
        taken.append(word)
        if any(char.isdigit() for char in word):
            break
    return "_".join(taken)


def gres_of(gpus: t.Iterable[Gpu]) -> list[str]:
    """The gres of a node with these GPUs: one entry a type, and MIG devices in place of the GPU that was cut up."""
    counts: dict[str, int] = {}
    for gpu in gpus:
        for kind in gpu.mig or (gpu_type(gpu.name),):
            counts[kind] = counts.get(kind, 0) + 1
    return [f"gpu:{kind}:{count}" for kind, count in counts.items()]


def node_of(slurmd: t.Mapping[str, t.Any], gpus: t.Iterable[Gpu], reserve: int) -> dict[str, t.Any]:
    """The node that slurm.conf shall hold: what is there, less the memory that the operating system keeps."""
    memory = slurmd["real_memory"] - reserve
    if memory < 1:
        raise SlurmConfError(
            f"Taking the memory reserve from {slurmd['name']} failed: the host has {slurmd['real_memory']} MiB, the "
            f"reserve is {reserve} MiB. Set slurm_node_memory_reserve lower."
        )
    gres = gres_of(gpus)
    return {**slurmd, "real_memory": memory, **({"gres": gres} if gres else {})}


def memory_faults(name: str, wanted: int | None, has: int, reserve: int, where: str) -> list[str]:
    """Why slurmctld would drain the node: it is told of more memory than there is."""
    allowed = has - reserve
    if allowed < 1:
        return [
            f"slurm_node_memory_reserve of {name} is {reserve}; allowed is less than the {has} MiB that {where} has."
        ]
    if wanted is not None and wanted > allowed:
        return [
            f"real_memory of {name} is {wanted}; allowed is at most {allowed} MiB: {where} has {has}, and "
            f"slurm_node_memory_reserve is {reserve}."
        ]
    return []


def gathered(
    hosts: t.Iterable[tuple[str, t.Mapping[str, t.Any]]], remembered: t.Mapping[str, t.Any] | None = None
) -> dict[str, t.Any]:
    """The nodes, the least memory for a CPU, and the hosts that cannot confine jobs, of all that were looked at.

    What an earlier run found stands for a host that this one leaves out; `unknown` are those of which nothing is known.
    """
    by_host: dict[str, t.Any] = {}
    unknown = []
    for name, host in hosts:
        one = host.get("__slurm_hardware") or (remembered or {}).get(name)
        if one:
            by_host[name] = one
        else:
            unknown.append(name)
    found = list(by_host.values())
    return {
        "by_host": by_host,
        "unknown": unknown,
        "nodes": [one["node"] for one in found],
        "memory_per_cpu": min((int(one["memory_per_cpu"]) for one in found), default=None),
        "without_cgroup": [one["node"]["name"] for one in found if not one["cgroup"]],
    }
