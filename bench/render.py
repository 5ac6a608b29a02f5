"""What writing slurm.conf costs for clusters of many sizes. Needs no lab."""

from __future__ import annotations

import math
import random
import time

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import gres_conf

from .figures import Figure

SIZES = (10, 100, 1_000, 10_000)
TURNS = 5
SETTINGS = {"ClusterName": "bench", "SlurmctldHost": "ctl", "AccountingStorageHost": "ctl", "DefMemPerCPU": 3500}
SHAPE = {
    **{"cpus": 8, "sockets": 1, "cores_per_socket": 4, "threads_per_core": 2, "real_memory": 30000},
    **{"gres": "gpu:l4:1", "features": ["l4", "nvme"], "weight": 10},
}


def figures() -> list[Figure]:
    """CPU seconds of slurm.conf and gres.conf, all checks included, and how they and the text grow."""
    seconds = {}
    size = 0
    for count in SIZES:
        nodes = [{"name": f"node{number:05d}", **SHAPE} for number in range(count)]
        # Inventories need not be in order.
        random.Random(count).shuffle(nodes)
        partitions = [{"name": "gpu", "nodes": [node["name"] for node in nodes], "default": True, "max_time": "7-0"}]
        times = []
        for _turn in range(TURNS):
            begin = time.process_time()
            text = slurm_conf(SETTINGS, nodes, partitions, {"state": "UP"}, "26.05.4", []) + gres_conf(nodes, "26.05.4")
            times.append(time.process_time() - begin)
        seconds[count], size = min(times), len(text)
    budgets = {SIZES[-1]: 2.0}
    found = [
        Figure(
            f"render for {count:,} nodes", seconds[count], "CPU-s", budgets.get(count, 2.0 * count / SIZES[-1] + 0.01)
        )
        for count in SIZES
    ]
    growth = math.log(seconds[SIZES[-1]] / seconds[SIZES[-2]], SIZES[-1] / SIZES[-2])
    found.append(Figure("render, growth exponent from 1,000 to 10,000 nodes", growth, "", 1.05))
    found.append(Figure("slurm.conf and gres.conf for 10,000 alike nodes", size / 1024, "KiB", 4))
    return found
