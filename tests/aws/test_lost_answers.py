"""What is left when AWS made a thing and the answer got lost: of each module that makes what bills or is in the way.

`kept` is with botocore's own retries, `single` with AWS_MAX_ATTEMPTS=1; both after one more run without a fault. Where
one was asked for and two are left, the roles must look first, or sweep. The emulator honours client tokens like AWS.

What to learn from it: with AWS_MAX_ATTEMPTS=1 a run that lost an answer fails, and the next one finds the thing by its
name or tags, for these come with the request; amazon.aws itself tries again what was throttled, whatever that variable
says. With botocore's retries a VPC comes twice, and the module then refuses to work on either. An internet gateway is
made without tags and attached later: the lost one is attached to nothing and carries no name. An address is new with
each run of ec2_eip, so it is looked up by its tag first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .account import Account
from .faults import Fault
from .proxy import Proxy
from .stage import Stage, make

TAGS = {"Name": "lost"}


pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    module: str
    arguments: dict[str, Any]
    action: str
    kind: str
    kept: int
    single: int
    # With two of them the module fails from then on.
    stuck_with_two: bool = False


CASES = {
    "VPC": Case(
        "ec2_vpc_net", {"name": "lost", "cidr_block": "10.9.0.0/16"}, "CreateVpc", "vpcs", 2, 1, stuck_with_two=True
    ),
    "subnet": Case("ec2_vpc_subnet", {"vpc_id": "VPC", "cidr": "10.42.5.0/24"}, "CreateSubnet", "subnets", 1, 1),
    "internet gateway": Case("ec2_vpc_igw", {"vpc_id": "VPC"}, "CreateInternetGateway", "internet_gateways", 2, 2),
    "address": Case("ec2_eip", {"in_vpc": True}, "AllocateAddress", "elastic_ips", 3, 2),
    "NAT gateway": Case(
        "ec2_vpc_nat_gateway",
        {"subnet_id": "SUBNET", "if_exist_do_not_create": True},
        "CreateNatGateway",
        "nat_gateways",
        1,
        1,
    ),
    "route table": Case("ec2_vpc_route_table", {"vpc_id": "VPC"}, "CreateRouteTable", "route_tables", 1, 1),
    "endpoint": Case(
        "ec2_vpc_endpoint",
        {"vpc_id": "VPC", "service": "com.amazonaws.us-east-1.s3"},
        "CreateVpcEndpoint",
        "vpc_endpoints",
        2,
        1,
    ),
    "security group": Case(
        "ec2_security_group",
        {"name": "lost", "description": "lost", "vpc_id": "VPC"},
        "CreateSecurityGroup",
        "security_groups",
        1,
        1,
    ),
    "placement group": Case("ec2_placement_group", {"name": "lost"}, "CreatePlacementGroup", "placement_groups", 1, 1),
    "instance": Case(
        "ec2_instance",
        {
            "name": "lost",
            "image_id": "IMAGE",
            "instance_type": "g6.2xlarge",
            "vpc_subnet_id": "SUBNET",
            "filters": {"tag:Name": "lost", "instance-state-name": ["pending", "running"]},
        },
        "RunInstances",
        "instances",
        1,
        1,
    ),
}


@pytest.mark.parametrize("attempts", ["kept", "single"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_after_the_next_run_there_are(
    account: Account, proxy: Proxy, tmp_path: Path, case: Case, attempts: str
) -> None:
    stage = make(account.emulator, tmp_path)
    before = account.remains().get(case.kind, 0)
    playbook = _playbook(tmp_path, stage, case)
    proxy.arm(Fault("lose_answer", action=case.action))
    environment = {"AWS_MAX_ATTEMPTS": "1"} if attempts == "single" else {}
    first = account.play(playbook, url=proxy.url, environment=environment)
    assert proxy.struck
    proxy.arm(None)
    again = account.play(playbook, url=proxy.url)
    found = account.remains().get(case.kind, 0) - before
    words = f"first rc={first.rc} changed={first.changed}, again rc={again.rc} changed={again.changed}"
    print(words)
    expected = getattr(case, attempts)
    works = expected == 1 or not case.stuck_with_two
    assert (again.rc == 0, found) == (works, expected), f"{words}\n{first.output[-1500:]}\n{again.output[-1500:]}"


def _playbook(folder: Path, stage: Stage, case: Case) -> Path:
    known = {"VPC": stage.vpc, "SUBNET": stage.subnet, "IMAGE": stage.image}
    arguments = {
        key: known.get(value, value) if isinstance(value, str) else value for key, value in case.arguments.items()
    }
    task = {f"amazon.aws.{case.module}": {**arguments, "tags": TAGS}}
    path = folder / "one.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    return path
