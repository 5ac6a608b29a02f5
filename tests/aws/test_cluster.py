"""The role aws_cluster on an emulated account, through the real modules: made, mended, changed, destroyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .account import Account, TimedPlay
from .clusters import Clusters, make_key
from .faults import Fault
from .proxy import Proxy

NODES = ["ctl", "gpu1", "gpu2"]


@pytest.fixture
def clusters(account: Account, tmp_path: Path) -> Clusters:
    return Clusters(account, make_key(tmp_path))


def ok(play: TimedPlay) -> TimedPlay:
    assert play.rc == 0, play.output[-6000:]
    return play


def unchanged(play: TimedPlay) -> None:
    assert ok(play).changed == 0, play.output


def test_from_an_empty_account_and_back(clusters: Clusters, proxy: Proxy) -> None:
    planned = ok(clusters.run("playbooks/plan_infrastructure.yml"))
    assert planned.changed == 0
    assert "gpu1: compute, g6.2xlarge: launch" in planned.words
    assert "SSH of the controller is open to 203.0.113.7/32. Nothing else is open." in planned.words
    assert "USD/h" in planned.words
    assert clusters.account.remains("llmops") == {}

    ok(clusters.make())
    made = clusters.instances()
    assert sorted(made) == NODES
    for instance in made.values():
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    volumes = clusters.account.client("ec2").describe_volumes()["Volumes"]
    assert {(one["Encrypted"], one["VolumeType"]) for one in volumes} == {(True, "gp3")}
    assert "PublicIpAddress" in made["ctl"]
    assert "PublicIpAddress" not in made["gpu1"]
    assert all(any(tag["Key"] == "llmops-host-key" for tag in one["Tags"]) for one in made.values())
    _only_ssh_is_open(clusters)

    ids = clusters.ids()
    proxy.arm()
    unchanged(clusters.make(proxy.url))
    assert proxy.calls
    assert proxy.writes == []
    assert clusters.ids() == ids

    clusters.account.client("ec2").terminate_instances(InstanceIds=[ids["gpu2"]])
    ok(clusters.make())
    again = clusters.ids()
    assert sorted(again) == NODES
    assert {name for name in NODES if again[name] != ids[name]} == {"gpu2"}

    refused = clusters.destroy(aws_cluster_destroy="")
    assert refused.rc != 0
    assert "-e aws_cluster_destroy=llmops" in refused.words
    assert clusters.ids() == again
    ok(clusters.destroy())
    assert clusters.account.remains("llmops") == {}
    unchanged(clusters.destroy())


def _only_ssh_is_open(clusters: Clusters) -> None:
    groups = clusters.account.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:llmops-cluster", "Values": ["llmops"]}]
    )["SecurityGroups"]
    open_to = {
        (group["GroupName"], rule.get("FromPort"), one["CidrIp"])
        for group in groups
        for rule in group["IpPermissions"]
        for one in rule["IpRanges"]
    }
    assert open_to == {("llmops-admin", 22, "203.0.113.7/32")}


@pytest.mark.slow
def test_nodes_more_fewer_other_and_for_the_night(clusters: Clusters) -> None:
    ok(clusters.make())
    before = clusters.ids()
    three = [{"name": "gpu", "type": "g6.2xlarge", "count": 3}]
    ok(clusters.make(aws_cluster_nodes=three))
    assert sorted(clusters.ids()) == [*NODES, "gpu3"]
    refused = clusters.make()
    assert refused.rc != 0
    assert "gpu3: in the cluster, but in no group of aws_cluster_nodes any more" in refused.words
    unasked = clusters.make(aws_cluster_remove=True)
    assert unasked.rc != 0
    assert "The controller cannot be asked which jobs run on gpu3" in unasked.words
    ok(clusters.make(aws_cluster_remove=True, aws_cluster_end_jobs=True))
    assert clusters.ids() == before
    ok(clusters.make(aws_cluster_replace="gpu1", aws_cluster_end_jobs=True))
    after = clusters.ids()
    assert {name for name in NODES if after[name] != before[name]} == {"gpu1"}
    ok(clusters.run("playbooks/stop_infrastructure.yml", aws_cluster_end_jobs=True))
    assert {one["State"]["Name"] for one in clusters.instances().values()} == {"stopped"}
    unchanged(clusters.run("playbooks/stop_infrastructure.yml", aws_cluster_end_jobs=True))
    ok(clusters.make())
    assert {one["State"]["Name"] for one in clusters.instances().values()} == {"running"}
    assert clusters.ids() == after
    other = clusters.make(aws_cluster_nodes=[{"name": "gpu", "type": "g5.2xlarge", "count": 2}])
    assert other.rc != 0
    assert "gpu1 is a g6.2xlarge, and its group wants g5.2xlarge" in other.words


@pytest.mark.slow
def test_somebody_elses_instance_in_our_network_stops_the_destruction(clusters: Clusters) -> None:
    ok(clusters.make())
    ec2 = clusters.account.client("ec2")
    neighbour = clusters.instances()["gpu1"]
    request = {"ImageId": neighbour["ImageId"], "SubnetId": neighbour["SubnetId"], "InstanceType": "m7i.large"}
    stranger = ec2.run_instances(**request, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    refused = clusters.destroy()
    assert refused.rc != 0
    assert f"{stranger} run in the network of llmops without its tag" in refused.words
    assert sorted(clusters.ids()) == NODES
    ec2.terminate_instances(InstanceIds=[stranger])
    ok(clusters.destroy())
    assert clusters.account.remains("llmops") == {}


@pytest.mark.slow
def test_no_capacity_of_the_wanted_size(clusters: Clusters, proxy: Proxy) -> None:
    """The second launch is that of gpu1."""
    proxy.arm(Fault("capacity", action="RunInstances", at=2))
    nodes = [{"name": "gpu", "type": "g6.2xlarge", "count": 2, "alternatives": ["g5.2xlarge"]}]
    ok(clusters.make(url=proxy.url, aws_cluster_nodes=nodes))
    assert proxy.struck
    kinds = {name: one["InstanceType"] for name, one in clusters.instances().items()}
    assert kinds == {"ctl": "m7i.xlarge", "gpu1": "g5.2xlarge", "gpu2": "g6.2xlarge"}
    unchanged(clusters.make(aws_cluster_nodes=nodes))


@pytest.mark.slow
@pytest.mark.parametrize("capacity", ["partial", "all"])
def test_no_capacity_at_all(clusters: Clusters, proxy: Proxy, capacity: str) -> None:
    proxy.arm(Fault("capacity", action="RunInstances", at=3))
    done = clusters.make(url=proxy.url, aws_cluster_capacity=capacity)
    assert done.rc != 0
    assert "EC2 has no capacity for" in done.words, done.output[-3000:]
    assert sorted(clusters.ids()) == (["ctl", "gpu1"] if capacity == "partial" else [])
    ok(clusters.make(aws_cluster_capacity=capacity))
    assert sorted(clusters.ids()) == NODES
    unchanged(clusters.make(aws_cluster_capacity=capacity))
