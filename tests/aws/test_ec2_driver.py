"""The driver of elastic nodes against an emulated EC2: what Slurm's side calls, whatever becomes of the answers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws.iam import elastic_policy

from tests.fake_imds import FakeImds

from .driver import CLUSTER, KEY, Bench, Done, actions, give_credentials, refusal, tags_of
from .emulator import Emulator
from .faults import Fault
from .proxy import Proxy

FIRST, SECOND = "g6.xlarge", "g6.2xlarge"
CAPACITY = "InsufficientInstanceCapacity"


@pytest.fixture(scope="session")
def imds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeImds]:
    """Whose only purpose here are the credentials of the controller's instance profile."""
    with FakeImds(tmp_path_factory.mktemp("imds")) as service:
        give_credentials(service)
        yield service


@pytest.fixture
def bench(emulator: Emulator, proxy: Proxy, imds: FakeImds) -> Bench:
    emulator.reset()
    made = Bench(emulator, proxy, imds.url)
    made.make_template()
    return made


def user_data(bench: Bench, instance: str) -> str:
    answer = bench.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    return base64.b64decode(answer["UserData"]["Value"]).decode()


# --- The way of a node ----------------------------------------------------------------------------------------------


def test_a_node_is_made_stopped_and_started_again(bench: Bench) -> None:
    made = bench.call("start", "gpu1").nodes["gpu1"]
    (instance,) = bench.there("running")
    tags = tags_of(instance)

    assert made == {"result": "ok", "instance": instance["InstanceId"], "address": instance["PrivateIpAddress"]}
    assert (instance["InstanceType"], instance["SubnetId"]) == (FIRST, bench.subnets[0])
    assert tags["Name"] == tags["llmops-elastic"] == "gpu1"
    assert {key: tags[key] for key in bench.template_tags()} == bench.template_tags()
    assert "hostname: gpu1" in user_data(bench, made["instance"])

    again = bench.call("start", "gpu1", token="another start").nodes["gpu1"]
    assert again == made
    assert len(bench.there()) == 1

    assert [bench.call("stop", "gpu1").results["gpu1"] for _ in range(2)] == ["ok", "ok"]
    assert [one["state"] for one in bench.call("list").instances] == ["stopped"]

    assert bench.call("start", "gpu1", token="the next").nodes["gpu1"]["instance"] == made["instance"]
    (listed,) = bench.call("list").instances
    assert (listed["node"], listed["instance"], listed["state"]) == ("gpu1", made["instance"], "running")
    assert listed["address"] == instance["PrivateIpAddress"]
    assert abs(listed["started"] - time.time()) < 300


def test_its_volumes_bear_the_tags(bench: Bench) -> None:
    bench.call("start", "gpu1")

    wanted = {**bench.template_tags(), "Name": "gpu1", "llmops-elastic": "gpu1"}
    disks = [one["Ebs"]["VolumeId"] for one in bench.there()[0]["BlockDeviceMappings"]]
    volumes = bench.ec2.describe_volumes(VolumeIds=disks)["Volumes"]
    assert volumes
    assert all(wanted.items() <= tags_of(one).items() for one in volumes)


def test_a_node_may_end_with_its_use(bench: Bench) -> None:
    first = bench.call("start", "gpu1", when_idle="terminate").nodes["gpu1"]["instance"]
    stops = [bench.call("stop", "gpu1", when_idle="terminate") for _ in range(2)]
    second = bench.call("start", "gpu1", token="the next", when_idle="terminate").nodes["gpu1"]["instance"]

    assert [one.results["gpu1"] for one in stops] == ["ok", "ok"]
    assert stops[1].nodes["gpu1"]["message"] == "nothing to stop"
    assert bench.by_node() == {"gpu1": [second]}
    assert first != second


def test_a_spot_instance_is_terminated(bench: Bench) -> None:
    bench.call("start", "gpu1", market="spot")
    (call,) = bench.proxy.made("RunInstances")
    assert call["InstanceMarketOptions.MarketType"] == "spot"
    assert bench.there()[0]["InstanceLifecycle"] == "spot"

    # A node that the inventory no longer has is stopped without options.
    assert bench.call("stop", "gpu1", launch_template="", types=[], subnets=[]).results == {"gpu1": "ok"}
    assert bench.there() == []


def test_a_template_with_efa_gets_its_subnet_in_its_interfaces(bench: Bench) -> None:
    group = bench.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    interface = {"DeviceIndex": 0, "InterfaceType": "efa", "Groups": [group], "DeleteOnTermination": True}
    bench.make_template("lab-efa", NetworkInterfaces=[interface])

    assert bench.call("start", "gpu1", launch_template="lab-efa", types=["g6.8xlarge"]).results == {"gpu1": "ok"}

    (call,) = bench.proxy.made("RunInstances")
    assert "SubnetId" not in call
    assert call["NetworkInterface.1.SubnetId"] == bench.subnets[0]
    assert call["NetworkInterface.1.InterfaceType"] == "efa"
    assert bench.there()[0]["SubnetId"] == bench.subnets[0]


def test_a_node_keeps_one_stopped_instance_at_most(bench: Bench) -> None:
    kept = bench.call("start", "gpu1").nodes["gpu1"]["instance"]
    double = bench.foreign({"llmops-cluster": CLUSTER, "llmops-elastic": "gpu1"})

    assert bench.call("stop", "gpu1", instances=[double]).results == {"gpu1": "ok"}
    assert bench.by_node("running") == {"gpu1": [kept]}
    assert bench.by_node("stopped") == {}

    bench.call("stop", "gpu1")
    assert bench.by_node("stopped") == {"gpu1": [kept]}


# --- What is not ours -----------------------------------------------------------------------------------------------


def test_nobody_elses_instance_is_listed_or_touched(bench: Bench) -> None:
    others = [
        bench.foreign({"llmops-cluster": "other", "llmops-elastic": "gpu1", "Name": "gpu1"}),
        bench.foreign({"llmops-cluster": CLUSTER, "llmops-role": "controller", "Name": "gpu1"}),
        bench.foreign({"Name": "gpu1"}),
    ]

    assert bench.call("list").instances == []
    for when_idle in ("stop", "terminate"):
        named = bench.call("stop", "gpu1", instances=others, when_idle=when_idle)
        assert named.nodes == {"gpu1": {"result": "ok", "message": "nothing to stop"}}
    ours = bench.call("start", "gpu1").nodes["gpu1"]["instance"]
    bench.call("stop", "gpu1", when_idle="terminate")

    assert ours not in others
    assert sorted(one["InstanceId"] for one in bench.there("running")) == sorted(others)
    assert set(actions(bench.proxy.calls)) == {
        *("DescribeInstances", "DescribeLaunchTemplateVersions", "RunInstances", "TerminateInstances")
    }


# --- Answers that are lost, and calls that come twice ---------------------------------------------------------------

LOST = {
    "DescribeInstances": "start",
    "DescribeLaunchTemplateVersions": "start",
    "RunInstances": "start",
    "StartInstances": "start",
    "StopInstances": "stop",
    "TerminateInstances": "stop",
}


@pytest.mark.parametrize("attempts", [1, 3], ids=["the driver asks once", "the SDK asks again"])
@pytest.mark.parametrize("action", LOST)
def test_a_lost_answer_makes_nothing_twice(bench: Bench, action: str, attempts: int) -> None:
    settings = {"attempts": attempts}
    ends = {"when_idle": "terminate"} if action == "TerminateInstances" else {}
    if action != "RunInstances":
        bench.call("start", "gpu0", **ends)
    if action == "StartInstances":
        bench.call("stop", "gpu0")
    name = "gpu1" if action in ("DescribeLaunchTemplateVersions", "RunInstances") else "gpu0"
    bench.proxy.add(Fault("lose_answer", action=action))

    first = bench.call(LOST[action], name, settings=settings, **ends)
    second = bench.call(LOST[action], name, settings=settings, **ends)

    if attempts == 1 and action == "DescribeInstances":
        assert (first.status, first.out) == (11, "")
    else:
        assert first.results == {name: "throttled" if attempts == 1 else "ok"}
    assert second.results == {name: "ok"}
    assert all(len(ids) == 1 for ids in bench.by_node().values())
    wanted = {"start": ["running"], "stop": ["stopped"]}[LOST[action]]
    states = [one["State"]["Name"] for one in bench.there() if tags_of(one)["llmops-elastic"] == name]
    assert states == ([] if ends else wanted)


def test_a_place_is_not_left_when_its_answer_was_lost(bench: Bench) -> None:
    """Else the next place would have a second instance."""
    bench.proxy.add(Fault("lose_answer", action="RunInstances"))

    assert bench.call("start", "gpu1", settings={"attempts": 1}).results == {"gpu1": "throttled"}

    assert len(bench.proxy.made("RunInstances")) == 1
    assert len(bench.there()) == 1


def test_two_calls_at_the_same_time_make_one_instance(bench: Bench) -> None:
    found: list[Done] = []
    # Both have looked and found nothing before either asks.
    bench.proxy.add(Fault("slow", action="DescribeLaunchTemplateVersions", times=2, seconds=10))
    callers = [threading.Thread(target=lambda: found.append(bench.call("start", "gpu1", "gpu2"))) for _ in range(2)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()

    assert len(bench.proxy.made("RunInstances")) == 4
    assert found[0].nodes == found[1].nodes
    assert set(found[0].results.values()) == {"ok"}
    assert {name: len(ids) for name, ids in bench.by_node().items()} == {"gpu1": 1, "gpu2": 1}


def test_a_token_of_an_instance_that_ended_is_no_success(bench: Bench) -> None:
    made = bench.call("start", "gpu1").nodes["gpu1"]["instance"]
    bench.ec2.terminate_instances(InstanceIds=[made])

    again = bench.call("start", "gpu1", subnets=bench.subnets[:1]).nodes["gpu1"]
    fresh = bench.call("start", "gpu1", token="the next").nodes["gpu1"]

    assert again["result"] == "permanent"
    assert f"{made} was terminated at once: Client.UserInitiatedShutdown" in again["message"]
    assert fresh["result"] == "ok"
    assert fresh["instance"] != made


# --- Throttling and time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["DescribeInstances", "RunInstances"])
def test_throttling_for_a_while_is_waited_for(bench: Bench, action: str) -> None:
    bench.proxy.add(refusal(action, "RequestLimitExceeded", times=2, status=503))

    assert bench.call("start", "gpu1").results == {"gpu1": "ok"}
    assert len(bench.there()) == 1


def test_throttling_that_lasts_is_said(bench: Bench) -> None:
    bench.proxy.add(refusal("RunInstances", "RequestLimitExceeded", times=99, status=503))
    one = bench.call("start", "gpu1").nodes["gpu1"]
    assert one["result"] == "throttled"
    assert "RequestLimitExceeded: RunInstances: so the test wants it" in one["message"]

    bench.proxy.arm(refusal("DescribeInstances", "RequestLimitExceeded", times=99, status=503))
    for command in ("start", "stop", "list"):
        done = bench.call(command, "gpu1", settings={"attempts": 2})
        assert (done.status, done.out) == (11, "")
        assert done.err.startswith(f"{command}: RequestLimitExceeded: DescribeInstances")


def test_an_answer_comes_in_time_whatever_ec2_does(bench: Bench) -> None:
    late = Fault("slow", action="RunInstances", words={"TagSpecification.1.Tag.1.Value": "gpu1"}, seconds=60)
    bench.proxy.add(late)
    done = bench.call("start", "gpu1", "gpu2", settings={"timeout": 15})
    assert done.results == {"gpu1": "throttled", "gpu2": "ok"}
    assert done.seconds < 35

    bench.proxy.add(Fault("slow", action="DescribeInstances", seconds=60))
    done = bench.call("list", settings={"timeout": 4})
    assert (done.status, done.err) == (11, "list: EC2 did not answer within 4 s\n")
    assert done.seconds < 30


def test_a_part_of_a_list_is_never_told(bench: Bench) -> None:
    names = [f"n{number}" for number in range(101)]
    bench.call("start", *names)
    bench.proxy.add(refusal("DescribeInstances", "InternalError", times=99, status=500, at=2))

    done = bench.call("list", settings={"attempts": 2})

    assert (done.status, done.out) == (11, "")
    assert "InternalError" in done.err


# --- Capacity -------------------------------------------------------------------------------------------------------


def test_places_are_tried_in_order(bench: Bench) -> None:
    a, b = bench.subnets
    bench.proxy.add(
        refusal("RunInstances", CAPACITY, times=99, words={"InstanceType": FIRST}, status=500),
        refusal("RunInstances", CAPACITY, times=99, words={"InstanceType": SECOND, "SubnetId": a}, status=500),
    )

    assert bench.call("start", "gpu1", types=[FIRST, SECOND]).results == {"gpu1": "ok"}

    calls = [(one["InstanceType"], one["SubnetId"]) for one in bench.proxy.made("RunInstances")]
    # EC2 says it with the status 500, which the SDK takes for a fault that may pass.
    assert list(dict.fromkeys(calls)) == [(FIRST, a), (FIRST, b), (SECOND, a), (SECOND, b)]
    assert [(one["InstanceType"], one["SubnetId"]) for one in bench.there()] == [(SECOND, b)]


REFUSALS: dict[str, tuple[str, str]] = {
    "no capacity": (CAPACITY, "capacity"),
    "price": ("SpotMaxPriceTooLow", "capacity"),
    "spot quota": ("MaxSpotInstanceCountExceeded", "capacity"),
    "quota": ("VcpuLimitExceeded", "capacity"),
    "addresses": ("InsufficientFreeAddressesInSubnet", "capacity"),
    "made and gone": ("IdempotentInstanceTerminated", "capacity"),
    "type not here": ("Unsupported", "permanent"),
    "not allowed": ("UnauthorizedOperation", "permanent"),
    "bad image": ("InvalidAMIID.NotFound", "permanent"),
    "never heard of": ("SomethingNew", "permanent"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_of_its_kind(bench: Bench, name: str) -> None:
    code, kind = REFUSALS[name]
    bench.proxy.add(refusal("RunInstances", code, times=99))

    one = bench.call("start", "gpu1").nodes["gpu1"]

    assert one["result"] == kind
    assert code in one["message"]
    assert bench.there() == []


def test_where_there_is_no_capacity_is_not_asked_again_for_the_next_node(bench: Bench) -> None:
    bench.proxy.add(refusal("RunInstances", CAPACITY, times=999, words={"InstanceType": FIRST}))
    names = [f"n{number}" for number in range(20)]

    done = bench.call("start", *names, types=[FIRST, SECOND], settings={"workers": 4})

    assert set(done.results.values()) == {"ok"}
    refused = [one for one in bench.proxy.made("RunInstances") if one["InstanceType"] == FIRST]
    assert len(refused) <= 4 * len(bench.subnets)


def test_one_that_cannot_be_started_does_not_keep_the_others_off(bench: Bench) -> None:
    names = [f"n{number}" for number in range(4)]
    bench.call("start", *names)
    bench.call("stop", *names)
    ids = bench.by_node()
    bench.proxy.add(
        refusal("StartInstances", CAPACITY, words={"InstanceId.4": ids["n3"][0]}),
        refusal("StartInstances", CAPACITY, times=99, words={"InstanceId.1": ids["n2"][0]}),
    )

    done = bench.call("start", *names, settings={"attempts": 1})

    assert done.results == {"n0": "ok", "n1": "ok", "n2": "capacity", "n3": "ok"}


# --- Many -----------------------------------------------------------------------------------------------------------


def test_a_hundred_and_twenty_nodes_in_one_call(bench: Bench) -> None:
    names = [f"gpu{number:03}" for number in range(120)]

    made = bench.call("start", *names)
    assert set(made.results.values()) == {"ok"}
    assert {name: len(ids) for name, ids in bench.by_node("running").items()} == dict.fromkeys(names, 1)
    assert len({one["instance"] for one in made.nodes.values()}) == 120
    assert len(bench.call("list").instances) == 120

    bench.proxy.calls.clear()
    assert set(bench.call("stop", *names).results.values()) == {"ok"}
    assert len(bench.there("stopped")) == 120
    # 120 are two batches, two pages.
    assert actions(bench.proxy.calls) == [*["DescribeInstances"] * 2, *["StopInstances"] * 2]

    bench.proxy.calls.clear()
    assert set(bench.call("start", *names).results.values()) == {"ok"}
    assert actions(bench.proxy.calls) == [*["DescribeInstances"] * 2, *["StartInstances"] * 2]
    print(f"120 nodes were made in {made.seconds:.1f} s")


# --- Credentials, permissions, bad input ----------------------------------------------------------------------------


def test_credentials_are_those_of_the_instance_profile(bench: Bench) -> None:
    bench.call("list")
    assert {one.key for one in bench.proxy.calls} == {KEY}

    done = bench.call("list", settings={"metadata_url": "http://127.0.0.1:9"})
    assert done.status == 11
    assert "NoCredentialsError" in done.err


def test_the_policy_allows_what_is_called_and_no_more(bench: Bench) -> None:
    for options in ({}, {"when_idle": "terminate"}):
        for command in ("start", "stop", "start", "list", "stop"):
            bench.call(command, "gpu1", token=f"{command} {options}", **options)
    called = {f"ec2:{action}" for action in actions(bench.proxy.calls)}

    policy = elastic_policy(CLUSTER, "us-east-1", "123456789012")
    allowed = {action for one in policy["Statement"] for action in one["Action"]}

    # Tags and the role of a launch are permissions without calls of their own.
    assert allowed - called == {"ec2:CreateTags", "iam:PassRole"}
    assert called <= allowed


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a key in the settings": (
        {"settings": {"region": "us-east-1", "secret_key": "abc"}},
        "start: elastic_driver_settings has unknown keys secret_key; credentials come from the instance profile",
    ),
    "no region": (
        {"settings": {}},
        "start: elastic_driver_settings has no region; credentials come from the instance profile",
    ),
    "another version": ({"version": 2}, "start: the request has version 2, this driver speaks 1"),
    "no cluster": ({"cluster": None, "settings": None}, "start: the request is none: "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_permanent(bench: Bench, name: str) -> None:
    more, words = BAD[name]
    request = {"version": 1, "cluster": "lab", "settings": {"region": "us-east-1"}, "nodes": [], **more}

    done = bench.run("start", json.dumps(request))

    assert (done.status, done.out) == (12, "")
    assert done.err.startswith(words)


def test_one_node_with_bad_options_does_not_keep_the_others_off(bench: Bench) -> None:
    nodes = [
        {"name": "gpu1", "token": "t1", "options": bench.options},
        {"name": "gpu2", "token": "t2", "options": {**bench.options, "subnet": "subnet-1"}},
        {"name": "gpu3", "token": "t3", "options": {}},
        {"name": "gpu4", "token": "t4", "options": {"launch_template": "lab-none"}},
    ]
    settings = {"region": "us-east-1", "endpoint_url": bench.proxy.url, "metadata_url": bench.metadata_url}
    request = {"version": 1, "cluster": "lab", "settings": settings, "nodes": nodes}

    told = bench.run("start", json.dumps(request)).nodes

    assert {name: one["result"] for name, one in told.items()} == {
        **{"gpu1": "ok", "gpu2": "permanent", "gpu3": "permanent", "gpu4": "permanent"}
    }
    assert told["gpu2"]["message"] == "elastic_node_options of gpu2: unknown keys subnet"
    assert told["gpu3"]["message"] == "elastic_node_options of gpu3 has no launch_template"
    assert "launch template lab-none: InvalidLaunchTemplateName.NotFoundException" in told["gpu4"]["message"]
