"""What is asked of EC2, for any settings: closed doors, encrypted disks, tags, IMDSv2."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws import (
    images,
    plan,
    prices,
    problems,
    settings,
    template,
)
from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._aws.aws_cases import (
    IDS,
    PRICES,
    ZONES,
    given,
    nodes,
)
from hypothesis import given as anything
from hypothesis import settings as run
from hypothesis import strategies as st

GROUPS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["gpu", "big", "small", "a-b"]),
            "type": st.sampled_from(sorted(INSTANCE_TYPES)),
            "count": st.integers(0, 5),
            "market": st.sampled_from(settings.MARKETS),
            "disk_gb": st.integers(1, 65536),
            "elastic": st.booleans(),
        },
        optional={"alternatives": st.lists(st.sampled_from(sorted(INSTANCE_TYPES)), max_size=2)},
    ),
    min_size=1,
    max_size=3,
)
SETTINGS = st.builds(
    given,
    nodes=GROUPS,
    nat=st.booleans(),
    admin_cidrs=st.lists(st.sampled_from(["203.0.113.7/32", "198.51.100.0/24"]), min_size=1, max_size=2),
    tags=st.dictionaries(st.sampled_from(["owner", "llmops-cluster"]), st.text("abc", max_size=3), max_size=2),
    zones=st.sampled_from([[], ZONES[:1], ZONES[1:]]),
    network=st.sampled_from(["10.42.0.0/16", "172.16.0.0/20", "192.168.0.0/18"]),
).filter(lambda one: not problems.problems(one, PRICES))


@run(max_examples=200, deadline=None)
@anything(SETTINGS)
def test_what_holds_for_any_settings(one: dict[str, Any]) -> None:
    zones = plan.zones(one, ZONES)
    layout = plan.subnets(one, zones)
    ids = {**IDS, "subnets": {subnet["name"]: f"subnet-{subnet['name']}" for subnet in layout}}
    made = template.templates(one, zones, ids)
    rules = plan.rules(one)
    asked = {str(cidr) for cidr in one["admin_cidrs"]}
    assert {rule["cidr_ip"] for rule in rules["admin"]} == asked
    assert all(rule["ports"] == [22] for rule in rules["admin"])
    assert all("cidr_ip" not in rule for rule in rules["cluster"]), "only members reach members"
    _networks(one, layout)
    names = {entry["name"] for entry in made}
    for node in plan.nodes(one, zones):
        assert node["places"]
        assert {place["template"] for place in node["places"]} <= names
    for entry in made:
        _template(one, entry)


def _networks(one: dict[str, Any], layout: list[dict[str, Any]]) -> None:
    networks = [ipaddress.ip_network(subnet["cidr"]) for subnet in layout]
    assert all(network.subnet_of(ipaddress.ip_network(one["network"])) for network in networks)  # type: ignore[arg-type]
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)
    assert layout[0]["public"]
    assert all(subnet["public"] != one["nat"] for subnet in layout[1:])


def _template(one: dict[str, Any], entry: dict[str, Any]) -> None:
    data = entry["data"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    (disk,) = data["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["VolumeType"] == "gp3"
    assert "UserData" not in data
    for spec in data["TagSpecifications"]:
        assert {"Key": "llmops-cluster", "Value": one["name"]} in spec["Tags"]
    assert {spec["ResourceType"] for spec in data["TagSpecifications"]} == {"instance", "volume", "network-interface"}
    is_controller = entry["name"].startswith(f"{one['name']}-ctl-")
    assert data.get("DisableApiTermination", False) == is_controller
    for interface in data["NetworkInterfaces"]:
        assert interface["Groups"] == (["sg-cluster", "sg-admin"] if is_controller else ["sg-cluster"])
        if one["nat"] and not is_controller:
            assert not interface.get("AssociatePublicIpAddress")


def test_efa_has_an_interface_on_each_card() -> None:
    one = nodes(type="p5.48xlarge")
    (data,) = [e["data"] for e in template.templates(one, ZONES, IDS) if e["name"] == "llmops-gpu-us-east-1a"]
    assert len(data["NetworkInterfaces"]) == 32
    assert {i["InterfaceType"] for i in data["NetworkInterfaces"]} == {"efa"}
    assert [i["NetworkCardIndex"] for i in data["NetworkInterfaces"]] == list(range(32))
    assert data["Placement"] == {"GroupName": "llmops-gpu"}
    assert len(plan.rules(one)["cluster_out"]) == 2, "EFA wants its own group in the way out"


def test_a_group_of_one_and_a_type_without_efa_have_none() -> None:
    for one in (nodes(type="g6.8xlarge", count=1), nodes(type="g6.8xlarge", alternatives=["g6.4xlarge"])):
        assert plan.placement_groups(one) == []
        assert "EFA" not in str(template.templates(one, ZONES, IDS))


def test_the_wanted_size_is_tried_in_every_zone_before_another() -> None:
    node = plan.nodes(nodes(alternatives=["g5.2xlarge"]), ZONES)[1]
    assert [(place["type"], place["zone"][-1]) for place in node["places"]] == [
        ("g6.2xlarge", "a"),
        ("g6.2xlarge", "b"),
        ("g6.2xlarge", "c"),
        ("g5.2xlarge", "a"),
        ("g5.2xlarge", "b"),
        ("g5.2xlarge", "c"),
    ]


def test_spot_and_zone() -> None:
    one = nodes(market="spot", zone="us-east-1b")
    made = {entry["name"]: entry["data"] for entry in template.templates(one, ZONES, IDS)}
    assert set(made) == {"llmops-ctl-us-east-1a", "llmops-gpu-us-east-1b"}
    assert made["llmops-gpu-us-east-1b"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in made["llmops-ctl-us-east-1a"]


def test_a_bill_adds_up() -> None:
    bill = prices.bill(given(os="debian-13"), settings.groups(given()), PRICES)
    assert bill.unknown == []
    # Controller and its disk, two nodes and theirs, two addresses, NAT gateway.
    disk = (200 * 0.08 + 3000 * 0.005 + 475 * 0.04) / 730
    own = (100 * 0.08 + 125 * 0.04) / 730
    assert bill.hourly == pytest.approx(0.2016 + own + 2 * (0.9776 + disk) + 2 * 0.005 + 0.045)
    red_hat = prices.bill(given(), settings.groups(given()), PRICES)
    assert red_hat.hourly - bill.hourly == pytest.approx(0.0144 * (4 + 8 + 8))
    text = prices.text(bill, PRICES)
    assert "gpu: g6.2xlarge" in text[2]
    assert text[-2].split() == [
        "together",
        "=",
        f"{bill.hourly:.4f}",
        "USD/h,",
        f"{bill.hourly * 730:.0f}",
        "USD",
        "a",
        "month",
    ]


def test_the_newest_image() -> None:
    found = [{"image_id": "a", "creation_date": "2026-01-02"}, {"image_id": "b", "creation_date": "2026-03-01"}]
    newest = images.newest(found)
    assert newest is not None
    assert newest["image_id"] == "b"
    assert images.newest([]) is None
    own = images.image_of({"os": "mine", "image": {"owner": "self", "name": "llm-*", "user": "root"}})
    assert own == images.Image("self", "llm-*", "root")
