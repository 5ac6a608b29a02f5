# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What slurmctld believes of its nodes, beside what they have. Private to this collection."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.gres import Gres, parse_gres

_SOCKETS = re.compile(r"\([^)]*\)")


@dataclasses.dataclass(frozen=True)
class Believed:
    """A node as slurmctld has it."""

    name: str
    cpus: int
    cores: int
    real_memory: int
    gres: str
    state: tuple[str, ...]
    reason: str


def _from_json(node: t.Mapping[str, t.Any]) -> Believed:
    state = node.get("state") or []
    return Believed(
        name=str(node["name"]),
        cpus=int(node["cpus"]),
        cores=int(node["sockets"]) * int(node["cores"]),
        real_memory=int(node["real_memory"]),
        gres=str(node.get("gres") or ""),
        state=tuple(state.split("+") if isinstance(state, str) else map(str, state)),
        reason=str(node.get("reason") or ""),
    )


def _from_text(record: str) -> Believed:
    pairs = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", record))
    gres = "" if pairs["Gres"] == "(null)" else pairs["Gres"]
    reason = re.search(r"\bReason=(.*?)(?: \[[^\]]*\])?\s*(?:$|\n)", record)
    return Believed(
        name=pairs["NodeName"],
        cpus=int(pairs["CPUTot"]),
        cores=int(pairs["Sockets"]) * int(pairs["CoresPerSocket"]),
        real_memory=int(pairs["RealMemory"]),
        gres=gres,
        state=tuple(part.rstrip("*$~#!%@^-") for part in pairs["State"].split("+")),
        reason=reason[1] if reason else "",
    )


def parse_nodes(text: str) -> dict[str, Believed]:
    """Nodes by name from `scontrol show node`, with --json, with --oneliner or plain."""
    try:
        if text.lstrip().startswith("{"):
            nodes = [_from_json(node) for node in json.loads(text)["nodes"]]
        else:
            nodes = [_from_text(record) for record in re.split(r"(?m)^(?=NodeName=)", text) if record.strip()]
    except (KeyError, TypeError, ValueError) as error:
        raise SlurmConfError(
            f"Reading what scontrol show node printed failed: {type(error).__name__} {error} in {text[:200]!r}."
        ) from None
    return {node.name: node for node in nodes}


def _resources(text: str) -> list[Gres]:
    return parse_gres(_SOCKETS.sub("", text))[0] if text else []


def _differences(node: Believed, has: t.Mapping[str, t.Any], *, overridden: bool) -> list[str]:
    faults = []
    cores = has.get("boards", 1) * has.get("sockets_per_board", 1) * has.get("cores_per_socket", 1)
    # A node may be told of fewer CPUs than it has, which keeps some from jobs; with config_overrides also of more.
    if not overridden and node.cpus > has["cpus"]:
        faults.append(f"slurmctld believes {node.cpus} CPUs, the node has {has['cpus']}. Set slurm_node_cpus to that.")
    elif not overridden and node.cores > max(cores, has["cpus"]):
        faults.append(f"slurmctld believes {node.cores} cores, the node has {cores}. Correct slurm_node_settings.")
    if not overridden and node.real_memory > has["real_memory"]:
        faults.append(
            f"slurmctld believes {node.real_memory} MiB of memory, the node has {has['real_memory']}. Raise "
            "slurm_node_memory_reserve."
        )
    resources = _resources(node.gres)
    # Parts of a GPU (MIG) are more than the GPUs that the driver numbers.
    if "gpus" in has and not any(one.is_mig for one in resources):
        believed = sum(one.number for one in resources if one.name == "gpu")
        if believed != has["gpus"]:
            faults.append(
                f"slurmctld believes {believed} GPUs ({node.gres or 'no gres'}), the node has {has['gpus']}. Look at "
                "nvidia-smi on the node, or correct its gres."
            )
    if "INVALID_REG" in node.state:
        faults.append(f"slurmctld refused its registration: {node.reason or 'no reason given'}.")
    return faults


def differences(
    text: str, found: t.Mapping[str, t.Mapping[str, t.Any]], overridden: t.Collection[str] | bool = False
) -> list[str]:
    """Where slurmctld and the nodes do not agree, a sentence each.

    `found` is what each node has (hardware.parse_slurmd, and its number of GPUs as `gpus`); `overridden` names the
    nodes whose slurmd was told to believe the configuration (SlurmdParameters=config_overrides), or is true for all.
    """
    believed = parse_nodes(text)
    faults = []
    for name, has in found.items():
        node = believed.get(name)
        if node is None:
            faults.append(f"{name}: slurmctld has no such node. Look at its log, and run scontrol reconfigure.")
            continue
        told = overridden if isinstance(overridden, bool) else name in overridden
        faults += [f"{name}: {fault}" for fault in _differences(node, has, overridden=told)]
    return faults
