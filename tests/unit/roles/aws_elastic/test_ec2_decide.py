# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what the driver decides."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver import classify, decide, model
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.ec2 import only_the_instance_profile

from tests.unit.roles.aws_elastic.ec2_fakes import instance, wish

PLAIN = model.Template("lab-gpu", "3")
EFA = model.Template(
    "lab-efa",
    "1",
    (
        {
            **{"DeviceIndex": 0, "NetworkCardIndex": 0, "InterfaceType": "efa", "Groups": ["sg-1"]},
            **{"PrivateIpAddress": "10.0.0.9", "NetworkInterfaceId": "eni-1", "SubnetId": "subnet-old"},
        },
        {"DeviceIndex": 1, "NetworkCardIndex": 1, "InterfaceType": "efa-only"},
    ),
)

STARTS: dict[str, tuple[list[model.Instance], str]] = {
    "nothing there": ([], "launch"),
    "running": ([instance("i-1", "gpu1")], "done i-1"),
    "pending": ([instance("i-1", "gpu1", "pending")], "done i-1"),
    "stopped": ([instance("i-1", "gpu1", "stopped")], "wake i-1"),
    "stopping": ([instance("i-1", "gpu1", "stopping")], "wait i-1"),
    "gone": ([instance("i-1", "gpu1", "terminated"), instance("i-2", "gpu1", "shutting-down")], "launch"),
    "another node's": ([instance("i-1", "gpu2")], "launch"),
    "the newest that runs": ([instance("i-1", "gpu1", launched=5), instance("i-2", "gpu1", launched=9)], "done i-2"),
    "runs before stopped": ([instance("i-1", "gpu1"), instance("i-2", "gpu1", "stopped", 9)], "done i-1"),
    "stopped before stopping": ([instance("i-1", "gpu1", "stopped"), instance("i-2", "gpu1", "stopping")], "wake i-1"),
}


@pytest.mark.parametrize("name", STARTS)
def test_what_a_start_does(name: str) -> None:
    there, wanted = STARTS[name]

    plan = decide.plan_start([wish("gpu1")], there)

    found = [f"done {one.instance}" for one in plan.done.values()] + ["launch" for _ in plan.launch]
    found += [f"wake {one.id}" for one in plan.wake.values()] + [f"wait {one.id}" for one in plan.wait.values()]
    assert found == [wanted]


STOPS: dict[str, tuple[list[model.Instance], dict[str, Any], tuple[str, ...], list[str], list[str]]] = {
    "nothing there": ([], {}, (), [], []),
    "runs": ([instance("i-1", "gpu1")], {}, (), ["i-1"], []),
    "to be terminated": ([instance("i-1", "gpu1")], {"when_idle": "terminate"}, (), [], ["i-1"]),
    "stopped already": ([instance("i-1", "gpu1", "stopped")], {}, (), [], []),
    "stopped, to be terminated": ([instance("i-1", "gpu1", "stopped")], {"when_idle": "terminate"}, (), [], ["i-1"]),
    "spot by its option": ([instance("i-1", "gpu1")], {"market": "spot"}, (), [], ["i-1"]),
    "spot by what it is": ([instance("i-1", "gpu1", spot=True)], {}, (), [], ["i-1"]),
    "gone": ([instance("i-1", "gpu1", "shutting-down")], {}, (), [], []),
    "another node's id": ([instance("i-1", "gpu2")], {}, ("i-1",), [], []),
    "two": ([instance("i-1", "gpu1", launched=1), instance("i-2", "gpu1", launched=2)], {}, (), ["i-2"], ["i-1"]),
    "the worse of two": ([instance("i-1", "gpu1"), instance("i-2", "gpu1")], {}, ("i-2",), [], ["i-2"]),
    "named beside a stopped one": (
        [instance("i-1", "gpu1", "stopped"), instance("i-2", "gpu1", launched=2)],
        {},
        ("i-2",),
        ["i-2"],
        [],
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_what_a_stop_does(name: str) -> None:
    there, options, ids, stop, terminate = STOPS[name]

    ending = decide.plan_stop([wish("gpu1", *ids, **options)], there)

    assert (sorted(ending.stop), sorted(ending.terminate)) == (stop, terminate)


def test_places_are_types_by_subnets() -> None:
    options = wish("gpu1", types=["a", "b"], subnets=["s1", "s2"]).options
    assert [str(one) for one in decide.places(options)] == ["a in s1", "a in s2", "b in s1", "b in s2"]
    assert [str(one) for one in decide.places(model.Options())] == [
        "the type of the template in the subnet of the template"
    ]


def test_a_launch_of_a_plain_template() -> None:
    made = decide.run_arguments("lab", wish("gpu1"), PLAIN, model.Place("g6.xlarge", "subnet-1"))

    tags = [
        {"Key": "Name", "Value": "gpu1"},
        {"Key": "llmops-cluster", "Value": "lab"},
        {"Key": "llmops-elastic", "Value": "gpu1"},
        {"Key": "llmops-group", "Value": "gpu"},
        {"Key": "llmops-role", "Value": "compute"},
    ]
    assert len(made.pop("ClientToken")) == 64
    assert made == {
        "LaunchTemplate": {"LaunchTemplateName": "lab-gpu", "Version": "3"},
        **{"MinCount": 1, "MaxCount": 1, "InstanceType": "g6.xlarge", "SubnetId": "subnet-1"},
        "UserData": "#cloud-config\npreserve_hostname: false\nhostname: gpu1\n",
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")
        ],
    }


def test_network_interfaces_of_the_template_move_into_the_subnet() -> None:
    made = decide.run_arguments("lab", wish("gpu1"), EFA, model.Place("p5.48xlarge", "subnet-1"))

    assert "SubnetId" not in made
    assert made["NetworkInterfaces"] == [
        {
            **{"DeviceIndex": 0, "NetworkCardIndex": 0, "InterfaceType": "efa", "Groups": ["sg-1"]},
            "SubnetId": "subnet-1",
        },
        {"DeviceIndex": 1, "NetworkCardIndex": 1, "InterfaceType": "efa-only", "SubnetId": "subnet-1"},
    ]


def test_what_is_empty_is_as_in_the_template() -> None:
    made = decide.run_arguments("lab", wish("gpu1"), EFA, model.Place())

    assert not {"SubnetId", "NetworkInterfaces", "InstanceType", "InstanceMarketOptions"} & set(made)


def test_a_spot_launch_tags_its_request_too() -> None:
    made = decide.run_arguments("lab", wish("gpu1", market="spot"), PLAIN, model.Place())

    assert made["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
    }
    assert made["TagSpecifications"][-1]["ResourceType"] == "spot-instances-request"


def test_a_token_is_of_a_start_a_node_and_a_place() -> None:
    words = [
        (wish("gpu1"), PLAIN, model.Place("a", "s")),
        (wish("gpu1", token="u"), PLAIN, model.Place("a", "s")),
        (wish("gpu2"), PLAIN, model.Place("a", "s")),
        (wish("gpu1"), model.Template("lab-gpu", "4"), model.Place("a", "s")),
        (wish("gpu1"), PLAIN, model.Place("b", "s")),
        (wish("gpu1"), PLAIN, model.Place("a", "t")),
        (wish("gpu1", market="spot"), PLAIN, model.Place("a", "s")),
    ]
    tokens = [decide.client_token(*one) for one in words]

    assert len(set(tokens)) == len(tokens)
    assert tokens == [decide.client_token(*one) for one in words]
    # EC2's limit.
    assert all(len(one) <= 64 for one in tokens)


KINDS = {
    "capacity": ("InsufficientInstanceCapacity", 500, ("capacity", True)),
    "with its side in front": ("Server.InsufficientInstanceCapacity", 500, ("capacity", True)),
    "quota": ("VcpuLimitExceeded", 400, ("capacity", True)),
    "throttled": ("RequestLimitExceeded", 503, ("throttled", False)),
    "an unknown fault of the service": ("Hiccup", 502, ("throttled", False)),
    "an unknown fault of ours": ("InvalidSomething", 400, ("permanent", False)),
    "a type that is not offered there": ("Unsupported", 400, ("permanent", True)),
    "no permission": ("UnauthorizedOperation", 403, ("permanent", False)),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_code_is_of_a_kind(name: str) -> None:
    code, status, wanted = KINDS[name]
    assert classify.classify(code, status) == wanted


ENDED = {
    "Server.InsufficientInstanceCapacity": "capacity",
    "Server.SpotInstanceTermination": "capacity",
    "Client.VolumeLimitExceeded": "capacity",
    "Client.InternalError": "permanent",
    "": "capacity",
}


@pytest.mark.parametrize("reason", ENDED)
def test_an_instance_that_ended_at_once_is_of_a_kind(reason: str) -> None:
    assert classify.ended_at_once(reason) == ENDED[reason]


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"subnet": "s", "type": "a"}, "unknown keys subnet, type"),
    "types no list": ({"types": "a"}, "types must be a list, not 'a'"),
    "market": (
        {"market": "cheap"},
        "market is on-demand or spot, when_idle stop or terminate, not cheap, ",
    ),
    "spot that stops": (
        {"market": "spot", "when_idle": "stop"},
        "a spot instance cannot be stopped when it is idle, only terminated",
    ),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options_are_refused_in_words(name: str) -> None:
    options, words = BAD_OPTIONS[name]
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        model.read_options(options)


BAD_NAMES = ["", "gpu1\nruncmd: [reboot]", "-gpu", "g" * 64, "gpu 1"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_would_not_stay_a_name_in_user_data(name: str) -> None:
    request = {"version": 1, "cluster": "lab", "settings": {"region": "r"}, "nodes": [{"name": name}]}
    assert model.read_request(request).nodes[0].problem == f"{name[:80]!r} cannot be the host name of an instance"


def test_credentials_have_one_source() -> None:
    environment = {
        **{
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_PROFILE": "c",
            "AWS_EC2_METADATA_DISABLED": "1",
        },
        **{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "d", "AWS_ENDPOINT_URL": "e", "AWS_CA_BUNDLE": "f", "PATH": "g"},
    }

    only_the_instance_profile(environment, "http://m")

    assert environment == {
        **{"AWS_CA_BUNDLE": "f", "PATH": "g", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://m"},
        **{"AWS_METADATA_SERVICE_TIMEOUT": "2", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3"},
        **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"), "/dev/null"),
    }
