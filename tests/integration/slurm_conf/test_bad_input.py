"""What Slurm could not use is refused on the control machine, all of it in one message."""

from __future__ import annotations

import json

from tests.cluster import Cluster

BAD = {
    "slurm_settings": {"KilWait": 3, "GresTypes": "gpu,shard"},
    "slurm_cgroup_settings": {"ConstrainCore": True},
    "slurm_slurmdbd_settings": {"StoragePass": "s3cret#"},
    "slurm_partitions": [
        {"name": "none", "nodes": []},
        {"name": "gpu", "nodes": "gpu[1-3]", "max_time": 5400},
    ],
    "slurm_node_settings": {"cpus": -4},
    "slurm_topologies": [{"name": "racks", "type": "tree", "switches": [{"name": "leaf", "nodes": "gpu1"}]}],
}
SAYS = [
    "slurm_settings: there is no key KilWait. Did you mean KillWait?",
    "slurm_settings: GresTypes has shard, which no node has.",
    "slurm_node_settings of gpu[1-2]: cpus is -4; allowed is a whole number from 1 to 65533.",
    "slurm_partitions, none: it has no nodes.",
    "slurm_partitions, gpu: max_time is 5400; allowed is minutes, minutes:seconds,",
    "slurm_partitions, gpu: 'gpu3' is no node (1 unknown of 3).",
    "slurm_cgroup_settings: there is no key ConstrainCore. Did you mean ConstrainCores?",
    "slurm_slurmdbd_settings: StoragePass is (value not shown);",
    "slurm_topologies: racks: gpu2 are in none of it.",
]


def test_all_faults_before_any_host(cluster: Cluster) -> None:
    play = cluster.play("playbooks/validate_inventory.yml", "-e", json.dumps(BAD))
    assert play.rc != 0
    assert [words for words in SAYS if words not in play.words] == []
    assert "s3cret" not in play.output
    assert "Gathering Facts" not in play.output
