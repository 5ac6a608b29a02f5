"""Every fault of the settings is told with variable, value and what is allowed, before EC2 is asked for anything."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws import problems
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._aws.aws_cases import PRICES, given, nodes


def test_right_settings_have_no_fault() -> None:
    assert problems.problems(given(), PRICES) == []
    assert problems.warnings(nodes(disk_mibps=400)) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(
            given(name="My Cluster"), "aws_cluster_name is 'My Cluster'. It names and tags everything", id="name"
        ),
        pytest.param(given(name="a" * 33), "up to 32 lower case letters", id="long-name"),
        pytest.param(given(region="virginia"), "aws_cluster_region is 'virginia'. Give a region", id="region"),
        pytest.param(given(zones=["eu-west-1a"]), "Zones of us-east-1 are named like us-east-1a", id="foreign-zone"),
        pytest.param(given(os="rhel10"), "aws_cluster_os is 'rhel10'. Did you mean rhel-10?", id="os"),
        pytest.param(given(network="10.42.0.0"), "Give a private IPv4 network of /16 to /20", id="host-for-network"),
        pytest.param(given(network="10.42.0.1/16"), "which is no network", id="host-bits"),
        pytest.param(given(network="8.8.0.0/16"), "Give a private IPv4 network", id="public-network"),
        pytest.param(given(admin_cidrs=[]), "nobody could reach the controller", id="no-admin"),
        pytest.param(
            given(admin_cidrs="1.2.3.4/32"), "is '1.2.3.4/32'. Give a list, such as", id="an-admin-without-brackets"
        ),
        pytest.param(given(admin_cidrs=["me"]), "aws_cluster_admin_cidrs has 'me'", id="admin-is-no-network"),
        pytest.param(given(admin_cidrs=["203.0.113.9"]), "give 203.0.113.9/32 for this one address", id="bare-address"),
        pytest.param(given(admin_cidrs=["2001:db8::/32"]), "give your IPv4 address", id="ipv6"),
        pytest.param(given(zones=["us-east-1a"] * 2), "Give each zone once, and 7 at most", id="zone-twice"),
        pytest.param(
            given(tags={"llmops-role": "x", "a": "b"}),
            "aws_cluster_tags has llmops-role. Name and llmops-",
            id="our-tag",
        ),
        pytest.param(
            given(image={"ownr": "self"}), "aws_cluster_image has 'ownr'. Did you mean owner?", id="image-key"
        ),
        pytest.param(given(connection="ssm", ssm_bucket="b"), "which needs no open port", id="ssm-with-ssh-open"),
        pytest.param(given(connection="ssm", admin_cidrs=[]), "aws_cluster_ssm_bucket is empty", id="ssm-bucket"),
        pytest.param(given(connection="telnet"), "Allowed are ssh and ssm", id="connection"),
        pytest.param(given(stop_jobs="kill"), "Allowed are refuse and drain", id="stop-jobs"),
        pytest.param(given(boot_minutes="0"), "aws_cluster_boot_minutes is 0. Give the minutes", id="no-patience"),
        pytest.param(given(capacity="some"), "Allowed are partial and all", id="capacity"),
        pytest.param(given(public_key=""), "aws_cluster_public_key is empty", id="no-key"),
        pytest.param(given(nodes=[]), "aws_cluster_nodes is empty", id="no-nodes"),
        pytest.param(given(nodes=["gpu"]), "aws_cluster_nodes[0] is 'gpu'. Give keys and values", id="text-for-group"),
        pytest.param(given(nodes=[{"name": "gpu"}]), "aws_cluster_nodes[0] lacks type, count", id="missing-keys"),
        pytest.param(
            nodes(disc_gb=100), "aws_cluster_nodes[0] has 'disc_gb'. Did you mean disk_gb?", id="misspelt-key"
        ),
        pytest.param(nodes(count="2"), "count is '2', which is no whole number", id="count-is-text"),
        pytest.param(nodes(count=True), "count is True, which is no whole number", id="count-is-true"),
        pytest.param(nodes(count=-1), "count is -1. Give 0 to 1000", id="negative-count"),
        pytest.param(nodes(type="g6.3xlarge"), "'g6.3xlarge' is none with NVIDIA GPUs", id="type"),
        pytest.param(nodes(type="m7i.xlarge"), "none with NVIDIA GPUs", id="type-without-gpu"),
        pytest.param(nodes(efa=True), "efa is true, and g6.2xlarge has none", id="efa"),
        pytest.param(nodes(market="cheap"), "Allowed are on-demand and spot", id="market"),
        pytest.param(nodes(disk_gb=0), "disk_gb is 0. A gp3 volume has 1 to 65536", id="disk"),
        pytest.param(nodes(disk_mibps=1000, disk_iops=3000), "give at least 4000 disk_iops", id="throughput-of-iops"),
        pytest.param(
            nodes(name="gpu1"), "Nodes are named after it with a number behind", id="group-that-ends-in-a-number"
        ),
        pytest.param(nodes(name="ctl"), "a name is given twice (ctl)", id="group-named-like-the-controller"),
        pytest.param(
            nodes(elastic=True, alternatives=["g6.12xlarge"]), "g6.2xlarge has 1, g6.12xlarge has 4", id="elastic-sizes"
        ),
        pytest.param(given(replace=["ctl"]), "Only a compute node can be replaced: gpu1, gpu2", id="replace"),
        pytest.param(
            given(spend_limit=1.0), "USD an hour (prices of 2025-06-30), and aws_cluster_spend_limit", id="limit"
        ),
        pytest.param(
            given(spend_limit=99.0, region="eu-west-1"), "has no price of region eu-west-1", id="limit-without-a-price"
        ),
    ],
)
def test_a_fault_is_told(settings: dict[str, Any], words: str) -> None:
    found = problems.problems(settings, PRICES)
    assert len(found) == 1, found
    assert words in found[0]


def test_all_faults_at_once() -> None:
    found = problems.problems(given(name="X", region="x", admin_cidrs=[], nodes=[]), PRICES)
    assert len(found) == 4


def test_a_disk_that_the_machine_cannot_use_is_warned_of() -> None:
    assert problems.warnings(nodes(disk_mibps=1000)) == [
        "aws_cluster_nodes: gpu: g6.2xlarge reads 625 MB/s from its disk at most, which is less than the disk_mibps of "
        "1000: loading a model takes as much longer."
    ]


def test_zones_that_only_ec2_knows() -> None:
    one = nodes(zone="us-east-1f")
    available = ["us-east-1a", "us-east-1b"]
    assert problems.zone_problems(given(), available, available) == []
    assert problems.zone_problems(given(), ["us-east-1z"], available) == [
        "aws_cluster_zones has us-east-1z; us-east-1 has us-east-1a, us-east-1b. Take one of these."
    ]
    assert problems.zone_problems(one, available, available) == [
        "aws_cluster_nodes: gpu: zone is us-east-1f, and the cluster is in us-east-1a, us-east-1b. Take one of these, "
        "or add it to aws_cluster_zones (us-east-1 has us-east-1a, us-east-1b)."
    ]


def test_a_door_for_everybody_is_said() -> None:
    assert problems.warnings(given(admin_cidrs=["0.0.0.0/0"])) == [
        "aws_cluster_admin_cidrs has 0.0.0.0/0: the whole Internet may try to log in to the controller."
    ]
