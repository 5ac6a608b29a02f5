"""What becomes of the instances that are there."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.cluster.plugins.module_utils._aws import console, fleet, plan, ssh
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._aws.aws_cases import ZONES, given, nodes


def instance(name: str, number: int, state: str = "running", kind: str = "g6.2xlarge", **tags: str) -> dict[str, Any]:
    return {
        "instance_id": f"i-{number}",
        "launch_time": f"2026-11-21T10:00:0{number}+00:00",
        "state": {"name": state},
        "instance_type": kind,
        "private_ip_address": f"10.42.0.{number}",
        "tags": {"Name": name, **tags},
    }


def actions(found: list[dict[str, Any]], settings: dict[str, Any] | None = None) -> dict[str, Any]:
    one = settings or given()
    return fleet.actions(one, plan.nodes(one, ZONES), found)


CTL = instance("ctl", 0, kind="m7i.xlarge")


def test_an_empty_account() -> None:
    made = actions([])
    assert [node["name"] for node in made["launch"]] == ["ctl", "gpu1", "gpu2"]
    assert (made["start"], made["remove"], made["replace"], made["going"], made["problems"]) == ([], {}, {}, [], [])


def test_all_there() -> None:
    made = actions([CTL, instance("gpu1", 1), instance("gpu2", 2)])
    assert made["launch"] == []
    assert made["instances"] == {"ctl": "i-0", "gpu1": "i-1", "gpu2": "i-2"}


def test_one_that_was_terminated_is_launched_and_one_that_was_stopped_is_started() -> None:
    made = actions([CTL, instance("gpu1", 1, "terminated"), instance("gpu2", 2, "stopped")])
    assert [node["name"] for node in made["launch"]] == ["gpu1"]
    assert made["start"] == ["i-2"]


def test_an_elastic_node_stays_stopped() -> None:
    assert actions([CTL, instance("gpu1", 1, "stopped"), instance("gpu2", 2)], nodes(elastic=True))["start"] == []


def test_of_two_for_one_node_the_older_stays() -> None:
    made = actions([instance("gpu1", 3), CTL, instance("gpu1", 1), instance("gpu2", 2)])
    assert made["instances"]["gpu1"] == "i-1"
    assert made["going"] == ["i-3"]


def test_a_node_that_no_group_has_is_named() -> None:
    assert actions([CTL, instance("gpu1", 1), instance("gpu2", 2), instance("gpu3", 3)])["remove"] == {"gpu3": ["i-3"]}


def test_replace() -> None:
    made = actions([CTL, instance("gpu1", 1), instance("gpu2", 2)], given(replace=["gpu1"]))
    assert made["replace"] == {"gpu1": ["i-1"]}
    assert [node["name"] for node in made["launch"]] == ["gpu1"]


def test_another_size_is_a_persons_decision() -> None:
    (problem,) = actions([CTL, instance("gpu1", 1, kind="g5.xlarge"), instance("gpu2", 2)])["problems"]
    assert problem.startswith("gpu1 is a g5.xlarge, and its group wants g6.2xlarge. Have it made anew")


def test_hosts_of_the_inventory() -> None:
    key = "ssh-ed25519 AAAA"
    wanted = plan.nodes(nodes(elastic=True), ZONES)
    ctl, gpu1, _gpu2 = fleet.hosts(wanted, [CTL, instance("gpu1", 1, **{"llmops-host-key": key})])
    assert ctl["groups"] == ["slurm_controller"]
    assert gpu1["groups"] == ["slurm_compute", "group_gpu", "slurm_elastic"]
    told = gpu1["variables"]
    assert (told["llmops_host_key"], told["llmops_private_address"], told["llmops_state"]) == (
        key,
        "10.42.0.1",
        "running",
    )
    (spot,) = [one for one in fleet.hosts(plan.nodes(nodes(market="spot"), ZONES)) if one["name"] == "gpu2"]
    assert spot["groups"] == ["slurm_compute", "group_gpu", "slurm_spot"]
    assert (spot["variables"]["llmops_state"], spot["variables"]["llmops_zone"]) == ("absent", "us-east-1a")


CONSOLE = """
[   21.3] cloud-init[1]: -----BEGIN SSH HOST KEY KEYS-----
[   21.3] cloud-init[1]: ecdsa-sha2-nistp256 BBBB root@gpu1
[   21.3] cloud-init[1]: ssh-ed25519 {key} root@gpu1
[   21.4] cloud-init[1]: -----END SSH HOST KEY KEYS-----
gpu1 login: ssh-ed25519 CCCC forged
"""


def test_the_host_key_of_a_console() -> None:
    assert console.host_key(CONSOLE.format(key="AAAA")) == "ssh-ed25519 AAAA"
    assert console.host_key(CONSOLE.format(key="AAAA") + CONSOLE.format(key="DDDD")) == "ssh-ed25519 DDDD"
    assert console.host_key("") == ""
    assert console.host_key("-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA") == "", "half printed"


def test_ssh_believes_one_key() -> None:
    words = ssh.arguments({"instance_id": "i-1", "host_key": "ssh-ed25519 AAAA"})
    assert "StrictHostKeyChecking=yes" in words
    assert "HostKeyAlias=i-1" in words
    assert "i-1 ssh-ed25519 AAAA" in words
    through = {
        "instance_id": "i-0",
        "host_key": "ssh-ed25519 BBBB",
        "address": "192.0.2.1",
        "user": "admin",
        "key_file": "/k",
    }
    jump = ssh.arguments({"instance_id": "i-1", "host_key": "ssh-ed25519 AAAA"}, through)
    assert "ProxyCommand=ssh -W [%h]:%p -i /k -l admin" in jump
    assert "192.0.2.1" in jump
