# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the processes of an entry are spread, and what each node adds to the engine's words. Private to this collection.

Words in braces are filled in on the node: by roles/vllm_jobs/files/llmops_node.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_Faults = Iterable[str]


@dataclass(frozen=True)
class Topology:
    """The words of the first node and of the others, and what their program has to know. Lists of words, no shell."""

    summary: str
    first: list[str]
    others: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    instead: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, t.Any]:
        return dict(self.__dict__)


def copies_on_node(entry: Mapping[str, t.Any]) -> int:
    """Data parallel copies on each node."""
    return max(1, int(entry["data_parallel_size"]) // int(entry["nodes"]))


def _balanced(entry: Mapping[str, t.Any], balancing: str) -> _Faults:
    """Balancing by others than the engine itself."""
    if entry["backend"] != "rpc" or entry["nodes"] == 1:
        yield (
            f"data_parallel_balancing: {balancing} found; allowed is internal, or {balancing} with backend: rpc on "
            "several nodes"
        )
    elif balancing == "external" and entry["data_parallel_size"] != entry["nodes"]:
        yield (
            f"data_parallel_balancing: external found; allowed is hybrid, or external with data_parallel_size "
            f"{entry['nodes']}, a copy on each node: a server of its own for each copy needs a node of its own here"
        )


def faults(entry: Mapping[str, t.Any]) -> _Faults:
    """Why a well formed entry cannot be run as it says: what would hang, or be something else than it says."""
    nodes, data, backend = entry["nodes"], entry["data_parallel_size"], entry["backend"]
    if backend == "mp" and nodes > 1 and data > 1:
        yield f"backend: mp found; allowed with data_parallel_size {data} over {nodes} nodes is rpc or ray"
    if backend == "rpc" and data == 1:
        yield "backend: rpc found; allowed is mp, or rpc with data_parallel_size of at least 2"
    if data > 1 and nodes > 1 and data % nodes:
        yield (
            f"data_parallel_size: {data} found; allowed on {nodes} nodes is a multiple of {nodes}: a copy over several "
            "nodes is not in this release"
        )
    balancing = entry["data_parallel_balancing"]
    if balancing != "internal":
        yield from _balanced(entry, balancing)


def _server(site: Mapping[str, t.Any]) -> list[str]:
    return ["--host", site["host"], "--port", "{port}"]


def _multi_node(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> Topology:
    """The engine's own mode for several nodes: one process group, its first rank here."""
    every = ["--nnodes", str(entry["nodes"]), "--node-rank", "{rank}"]
    every += ["--master-addr", "{first_address}", "--master-port", "{first_master}"]
    return Topology(
        f"{entry['nodes']} nodes in the engine's own multi-node mode",
        first=[*_server(site), *every],
        others=[*every, "--headless"],
        settings=["--first-ports", "master"],
    )


def _data_parallel(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> Topology:
    """Copies that join over remote calls; who spreads the requests is data_parallel_balancing."""
    copies, balancing = copies_on_node(entry), entry["data_parallel_balancing"]
    join = ["--data-parallel-address", "{first_address}", "--data-parallel-rpc-port", "{first_rpc}"]
    settings = ["--first-ports", "rpc", "--copies", str(copies)]
    summary = f"{entry['nodes']} nodes with {copies} of {entry['data_parallel_size']} data parallel copies each, "
    if balancing == "internal":
        local = ["--data-parallel-size-local", str(copies), *join]
        # A start rank without --headless would silently be another way of balancing.
        others = [*local, "--headless", "--data-parallel-start-rank", "{start_rank}"]
        return Topology(f"{summary}one API", [*_server(site), *local], others, settings=settings)
    if balancing == "hybrid":
        mine = ["--data-parallel-hybrid-lb", "--data-parallel-size-local", str(copies)]
        mine += ["--data-parallel-start-rank", "{start_rank}"]
    else:
        mine = ["--data-parallel-rank", "{rank}"]
    words = [*_server(site), *mine, *join]
    return Topology(f"{summary}an API on each node", words, words, settings=[*settings, "--servers", "every"])


def _ray(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> Topology:
    """A Ray of the job's own: its folder, its ports, its processes. Nothing stops other people's."""
    ray = f"{site['venv']}/bin/ray"
    cpus = entry["cpus_per_task"] or site["cpus_per_task"]
    start = [ray, "start", "--disable-usage-stats", "--node-ip-address", "{address}"]
    start += ["--temp-dir", "/tmp/ray-{job}", "--num-gpus", str(entry["gpus"]), "--num-cpus", str(cpus)]
    start += ["--node-manager-port", "{ray_node}", "--object-manager-port", "{ray_objects}"]
    start += ["--dashboard-agent-listen-port", "{ray_agent}", "--metrics-export-port", "{ray_metrics}"]
    start += ["--runtime-env-agent-port", "{ray_runtime}", "--dashboard-agent-grpc-port", "{ray_grpc}"]
    # 0: any free one, instead of the same ten thousand for every Ray of a node.
    start += ["--min-worker-port", "0", "--max-worker-port", "0"]
    head = [*start, "--head", "--port", "{first_ray}", "--include-dashboard", "false"]
    head += ["--ray-client-server-port", "{first_ray_client}"]
    first = [*_server(site), "--distributed-executor-backend", "ray"]
    if entry["data_parallel_size"] > 1:
        first += ["--data-parallel-backend", "ray", "--data-parallel-size-local", str(copies_on_node(entry))]
        first += ["--data-parallel-address", "{first_address}"]
    return Topology(
        f"{entry['nodes']} node{'s' if entry['nodes'] > 1 else ''} in a Ray of the job's own",
        first=first,
        beside=head,
        instead=[*start, "--address", "{first_address}:{first_ray}"],
        settings=[
            *("--first-ports", "ray ray_client"),
            *("--own-ports", "ray_node ray_objects ray_agent ray_metrics ray_runtime ray_grpc"),
            *("--wait-for", "ray", "--daemon", "raylet", "--remove", "/tmp/ray-{job}"),
            *("--env", "RAY_ADDRESS={first_address}:{first_ray}"),
            # Whoever reaches an open Ray runs what they like in it.
            *("--env", "RAY_AUTH_MODE=token", "--env", "RAY_AUTH_TOKEN={word}"),
        ],
    )


def topology_of(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> Topology | None:
    """None for the engine as it starts by itself: one node, the catalogue's port or none."""
    if entry["backend"] == "ray":
        return _ray(entry, site)
    if entry["nodes"] > 1:
        return (_multi_node if entry["backend"] == "mp" else _data_parallel)(entry, site)
    # The program that looks for a port is not in the container that pyxis makes around the step.
    if entry["replicas"] > 1 or (site["port_moves"] and entry["runtime"] != "pyxis"):
        return Topology(f"1 node, on port {entry['port']} or, where that is busy, another one", _server(site))
    return None
