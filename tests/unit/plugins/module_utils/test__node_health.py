"""What the health check of nodes can use."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._node_health import node_health_problems

GOOD = {
    "node_health_interval": 5,
    "node_health_nvidia_smi_timeout": "25",
    "node_health_file_timeout": 1.5,
    "node_health_mounts": ["/home"],
    "node_health_disks": [{"path": "/tmp", "min_free_mib": 256}],
}
BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "interval": ({"node_health_interval": 4}, "node_health_interval is 4; allowed is at least 5 seconds."),
    "nvidia-smi": (
        {"node_health_nvidia_smi_timeout": "26"},
        "node_health_nvidia_smi_timeout is 26; allowed is 1 to 25 seconds.",
    ),
    "file": ({"node_health_file_timeout": 0.5}, "node_health_file_timeout is 0.5; allowed is 1 to 25 seconds."),
    "mount": ({"node_health_mounts": ["home"]}, "node_health_mounts has the path 'home'; allowed are absolute ones."),
    "disk": ({"node_health_disks": [{}]}, "node_health_disks has the path ''; allowed are absolute ones."),
}


@pytest.mark.parametrize("given", [{}, GOOD, {"node_health_mounts": None}], ids=["none", "all", "empty"])
def test_what_it_can_use(given: dict[str, t.Any]) -> None:
    assert node_health_problems({"gpu1": given}) == []


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=list(BAD))
def test_what_it_cannot_use(given: dict[str, t.Any], message: str) -> None:
    assert node_health_problems({"gpu1": {**GOOD, **given}}) == [f"{message} (Set for gpu1.)"]


def test_the_same_fault_of_many_hosts_is_said_once() -> None:
    given = {"gpu1": {"node_health_interval": 1}, "gpu2": {}, "gpu3": {"node_health_interval": 1}}
    assert node_health_problems(given) == [
        "node_health_interval is 1; allowed is at least 5 seconds. (Set for 2 hosts.)"
    ]


def test_where_it_is_off_nothing_is_looked_at() -> None:
    assert node_health_problems({"gpu1": {"node_health_enabled": False, "node_health_interval": 1}}) == []
