# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes between processes and between nodes. Data."""

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import CONSEQUENCE, LIKELY, Cause

CAUSES: tuple[Cause, ...] = (
    Cause(
        "port-in-use",
        r"(?:\[?Errno 98\]?|EADDRINUSE|[Aa]ddress already in use)(?!\. Retrying)",
        "The port is taken: another server runs on the node, often what an old job left behind.",
        "`ss -tlnp` on the node names it. End it, set vllm_jobs_port_moves: true so that the job takes another one, or "
        "give {model} another port in vllm_models, and deploy again.",
    ),
    Cause(
        "no-free-port",
        r"Finding a free port for .* failed: every port from (?P<first>\d+) to (?P<last>\d+) is taken",
        "Every port from {first} to {last} is taken on the node.",
        "`ss -tlnp` and `ss -xl | grep llmops-port` on the node name who has them. End what is not needed, or widen "
        "vllm_jobs_port_range, and deploy again.",
    ),
    Cause(
        "key-file-missing",
        r"Reading the API key from (?P<file>\S+) on (?P<node>\S+) failed",
        "The node {node} has no API key in {file} that the jobs' user can read.",
        "Run the playbook deploy_vllm, which gives every host the key.",
    ),
    Cause(
        "no-interface",
        r"Bootstrap ?: no (?:\S+ )?(?:socket )?interface found|neither AF_INET\(2\) nor AF_INET6|"
        r"Unable to find (?:address|interface) for:? ?(?P<what>\S*)",
        "NCCL or Gloo was told to use a network interface that the node does not have.",
        "Set NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME in env of {model} to an interface that all its nodes have "
        "(`ip -br addr`).",
    ),
    Cause(
        "loopback-address",
        r"(?:master|head|rendezvous|tcp://)\S*\s?(?:127\.0\.0\.1|localhost)\S*.*(?:[Tt]imed out|refused|failed)|"
        r"Gloo connectFullMesh failed",
        "The nodes found each other's loopback addresses and cannot meet there.",
        "Make names of nodes resolve to their network addresses on every node (no 127.0.1.1 in /etc/hosts), or set "
        "VLLM_HOST_IP and "
        "GLOO_SOCKET_IFNAME for {model}.",
        rank=LIKELY,
    ),
    Cause(
        "clients-did-not-join",
        r"Timed out after (?P<seconds>\d+) ?(?:s|seconds).*?(?P<joined>\d+/\d+) clients joined",
        "Only {joined} processes of the engine met within {seconds} seconds; the others never found the first one.",
        "Open all ports between the nodes of the job, set the interface (NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME), "
        "and use backend: mp "
        "unless Ray is needed.",
    ),
    Cause(
        "rendezvous-failed",
        r"client socket has (?:timed out|failed to connect)|DistNetworkError|DistStoreError|failed to connect to "
        r"\S*:\d+ after|"
        r"TCPStore.*(?:timed? ?out|refused)",
        "A process of the engine did not reach the first one.",
        "See whether the job's nodes reach each other on any port (firewall, security group), and whether all of "
        "them started.",
        rank=LIKELY,
    ),
    Cause(
        "nccl-network",
        r"NCCL (?:WARN|error).*(?:socketStartConnect|Connect(?:ion)? to \S+ failed|[Cc]onnection refused|No route to "
        r"host|"
        r"Call to connect returned)|ncclRemoteError|ncclSystemError",
        "NCCL could not talk between the GPUs of the job.",
        "Set NCCL_SOCKET_IFNAME of {model} to the network between the nodes, open all ports there, try "
        "NCCL_IB_DISABLE=1 and look at "
        "NCCL_DEBUG=INFO.",
    ),
    Cause(
        "nccl-timeout",
        r"Watchdog caught collective operation timeout|ncclInternalError.*timeout|NCCL.*(?:timed? ?out|Timeout\()",
        "A GPU of the job did not take part in a common operation in time: a rank died or hangs, or the network is "
        "down.",
        "Look which rank fell silent first (`vllm-manager logs {model}`), then `vllm-manager restart {model}`.",
        rank=CONSEQUENCE,
    ),
    Cause(
        "nccl-other",
        r"ncclUnhandledCudaError|ncclInvalidUsage|NCCL error (?:in|at)|unhandled (?:cuda|system) error",
        "NCCL failed between the GPUs of the job.",
        "Set NCCL_DEBUG=INFO in env of {model} and restart it: NCCL then says why. Driver and /dev/shm are the usual "
        "causes.",
        rank=CONSEQUENCE,
    ),
    Cause(
        "ray-without-gpus",
        r"No available node types can fulfill resource request|Current node has no GPU available|No current "
        r"placement group found|"
        r"(?:Cannot|Unable to) (?:provide|create) a placement group|Error: No available node types",
        "Ray has not the GPUs that the engine asks of it: its workers are not there, or the nodes do not see each "
        "other.",
        "Use backend: mp for {model}, which needs no Ray; with Ray see whether every node joined, and the interface "
        "they use.",
    ),
    Cause(
        "ray-wrong-cluster",
        r"Ray is already running|found existing ray (?:cluster|instance)|ConnectionError: Ray is trying to start at|"
        r"Version mismatch: The cluster "
        r"was started with",
        "Another Ray runs on the node, and the engine met that one.",
        "Give Ray jobs whole nodes, or use backend: mp for {model}.",
    ),
    Cause(
        "engine-ready-timeout",
        r"VLLM_ENGINE_READY_TIMEOUT_S|Timed out waiting for engine (?:core )?(?:processes )?to (?:start|be ready)",
        "The engine was not ready within its own limit, most often because weights load slowly.",
        "Set VLLM_ENGINE_READY_TIMEOUT_S in env of {model} higher, or put the models on a faster disk.",
        rank=LIKELY,
    ),
    Cause(
        "hub-unreachable",
        r"Temporary failure in name resolution.*hugging|Max retries exceeded with url.*(?:huggingface|hf\.co)|Failed "
        r"to resolve "
        r"'(?P<host>[^']+)'",
        "A job tried to reach the model hub, and cannot.",
        "Jobs work offline: run deploy-vllm-models.yml -e model={model}, and see that HF_HUB_OFFLINE is not set to 0 "
        "in env.",
        rank=LIKELY,
    ),
    Cause(
        "munge-clock",
        r"(?:Munge decode failed|Invalid job credential|Protocol authentication error|munge.*(?:[Rr]ewound|"
        r"[Ee]xpired) credential)",
        "The nodes' clocks differ, or their keys do: Slurm does not believe its own messages.",
        "Compare `date` on the hosts (chrony or NTP), then the keys: site.yml makes them equal.",
    ),
)
