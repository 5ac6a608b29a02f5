"""What the emulated account does that moto alone does not: the tests of roles rely on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from . import amis
from .account import Account
from .stage import Stage, make, newest

ROOT = "/dev/xvda"


@pytest.fixture
def stage(account: Account, tmp_path: Path) -> Stage:
    return make(account.emulator, tmp_path)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_an_empty_account_has_nothing(account: Account) -> None:
    assert account.remains() == {}


def test_what_remains_is_counted_for_one_cluster(account: Account, stage: Stage) -> None:
    stage.launch("gpu1")
    stage.launch("gpu2", TagSpecifications=[])
    assert account.remains("demo") == {"instances": 1, "volumes": 1, "security_groups": 1, "key_pairs": 1}
    assert account.remains()["instances"] == 2
    assert account.remains("dem") == {}


FAMILIES = {
    "Debian 12": ("debian-12-amd64-*", amis.DEBIAN, "/dev/xvda"),
    "Debian 13": ("debian-13-amd64-*", amis.DEBIAN, "/dev/xvda"),
    "Ubuntu": ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", amis.CANONICAL, "/dev/sda1"),
    "RHEL 9": ("RHEL-9.*_HVM-*-x86_64-*-Hourly2-GP3", amis.RED_HAT, "/dev/sda1"),
    "RHEL 10": ("RHEL-10.*_HVM-*-x86_64-*-Hourly2-GP3", amis.RED_HAT, "/dev/sda1"),
    "Amazon Linux": ("al2023-ami-2023.*-kernel-6.1-x86_64", amis.AMAZON_LINUX, "/dev/xvda"),
    "deep learning": (
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) *",
        amis.DEEP_LEARNING,
        "/dev/sda1",
    ),
}


@pytest.mark.parametrize(("pattern", "owner", "root"), FAMILIES.values(), ids=FAMILIES)
def test_an_image_is_found_by_its_name_and_owner(account: Account, pattern: str, owner: str, root: str) -> None:
    found = newest(account.client("ec2"), pattern, owner)
    assert (found["CreationDate"][:10], found["RootDeviceName"]) == ("2026-08-11", root)


def test_a_name_without_its_owner_finds_a_strangers_image(account: Account) -> None:
    ec2 = account.client("ec2")
    images = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-13-amd64-*"]}])["Images"]
    newest_of_all = max(images, key=lambda one: str(one["CreationDate"]))
    assert newest_of_all["OwnerId"] == amis.STRANGER


def test_a_repeated_request_makes_nothing_more(account: Account, stage: Stage) -> None:
    first = stage.launch("gpu1", ClientToken="a", MaxCount=2)
    again = stage.launch("gpu1", ClientToken="a", MaxCount=2)
    assert [one["InstanceId"] for one in again] == [one["InstanceId"] for one in first]
    assert account.remains()["instances"] == 2
    assert refusal(lambda: stage.launch("gpu2", ClientToken="a")) == "IdempotentParameterMismatch"


def test_an_instance_has_what_was_asked_for(account: Account, stage: Stage) -> None:
    stage.ec2.create_placement_group(GroupName="demo", Strategy="cluster")
    ebs = {"VolumeSize": 200, "VolumeType": "gp3", "Throughput": 600, "Iops": 3000, "Encrypted": True}
    (made,) = stage.launch(
        "gpu1", BlockDeviceMappings=[{"DeviceName": ROOT, "Ebs": ebs}], Placement={"GroupName": "demo"}
    )
    (volume,) = stage.ec2.describe_volumes()["Volumes"]
    assert {key: volume[key if key != "VolumeSize" else "Size"] for key in ebs} == ebs
    assert stage.instance(made["InstanceId"])["Placement"]["GroupName"] == "demo"
    assert refusal(lambda: stage.ec2.delete_placement_group(GroupName="demo")) == "InvalidPlacementGroup.InUse"


def test_a_wrong_root_device_is_a_second_volume(stage: Stage) -> None:
    stage.launch("gpu1", BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 200}}])
    sizes = sorted(one["Size"] for one in stage.ec2.describe_volumes()["Volumes"])
    assert sizes == [8, 200]


def test_a_launch_template_gives_what_the_request_leaves_out(account: Account, stage: Stage) -> None:
    iam = account.client("iam")
    iam.create_instance_profile(InstanceProfileName="node")
    tags = [{"Key": "Cluster", "Value": "demo"}]
    interface = {"DeviceIndex": 0, "SubnetId": stage.subnet, "Groups": [stage.group], "AssociatePublicIpAddress": False}
    stage.ec2.create_launch_template(
        LaunchTemplateName="node",
        LaunchTemplateData={
            "ImageId": stage.image,
            "InstanceType": "g6.12xlarge",
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "IamInstanceProfile": {"Name": "node"},
            "NetworkInterfaces": [interface],
            "DisableApiTermination": True,
            "TagSpecifications": [{"ResourceType": "volume", "Tags": tags}],
        },
    )
    reservation = stage.ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "node"}, MinCount=2, MaxCount=2)
    for made in reservation["Instances"]:
        found = stage.instance(made["InstanceId"])
        assert found["InstanceType"] == "g6.12xlarge"
        assert found["MetadataOptions"]["HttpTokens"] == "required"
        assert found["IamInstanceProfile"]["Arn"].endswith("/node")
        assert [one["GroupId"] for one in found["SecurityGroups"]] == [stage.group]
        assert "PublicIpAddress" not in found
    assert account.remains("demo")["volumes"] == 2


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown image": ("InvalidAMIID.NotFound", {"ImageId": "ami-0123456789abcdef0"}),
    "unknown type": ("InvalidParameterValue", {"InstanceType": "g6.3xlarge"}),
    "unknown key": ("InvalidKeyPair.NotFound", {"KeyName": "nobody"}),
    "unknown placement group": ("InvalidPlacementGroup.Unknown", {"Placement": {"GroupName": "none"}}),
    "image of another architecture": ("InvalidParameterValue", {"InstanceType": "g5g.xlarge"}),
    "throughput without IOPS": (
        "InvalidParameterValue",
        {
            "BlockDeviceMappings": [
                {"DeviceName": ROOT, "Ebs": {"VolumeType": "gp3", "VolumeSize": 50, "Throughput": 1000}}
            ]
        },
    ),
    "smaller than the image": (
        "InvalidBlockDeviceMapping",
        {"BlockDeviceMappings": [{"DeviceName": ROOT, "Ebs": {"VolumeSize": 4}}]},
    ),
}


@pytest.mark.parametrize(("code", "others"), REFUSED.values(), ids=REFUSED)
def test_a_launch_is_refused(stage: Stage, code: str, others: dict[str, Any]) -> None:
    assert refusal(lambda: stage.launch("gpu1", **others)) == code
    assert stage.ec2.describe_instances()["Reservations"] == []


def test_a_zone_without_the_type_is_refused(stage: Stage) -> None:
    made = stage.ec2.create_subnet(VpcId=stage.vpc, CidrBlock="10.42.9.0/24", AvailabilityZone="us-east-1e")
    assert refusal(lambda: stage.launch("gpu1", SubnetId=made["Subnet"]["SubnetId"])) == "Unsupported"


def test_an_efa_interface_is_described_as_one(stage: Stage) -> None:
    interface = {"DeviceIndex": 0, "SubnetId": stage.subnet, "Groups": [stage.group], "InterfaceType": "efa"}
    request = stage.request("gpu1", InstanceType="g6.8xlarge", NetworkInterfaces=[interface])
    del request["SubnetId"], request["SecurityGroupIds"]
    made = stage.ec2.run_instances(**request)["Instances"][0]["InstanceId"]
    assert stage.instance(made)["NetworkInterfaces"][0]["InterfaceType"] == "efa"
    request["InstanceType"] = "g6.2xlarge"
    assert refusal(lambda: stage.ec2.run_instances(**request)) == "InvalidParameterCombination"


def test_protection_keeps_an_instance(stage: Stage) -> None:
    (made,) = stage.launch("ctl", DisableApiTermination=True)
    one = made["InstanceId"]
    assert refusal(lambda: stage.ec2.terminate_instances(InstanceIds=[one])) == "OperationNotPermitted"
    stage.ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
    stage.ec2.terminate_instances(InstanceIds=[one])
    assert stage.instance(one)["State"]["Name"] == "terminated"


def test_the_console_has_the_host_keys(stage: Stage) -> None:
    first, second = (stage.launch(name)[0]["InstanceId"] for name in ("gpu1", "gpu2"))
    text = stage.console(first)
    assert text == stage.console(first) != stage.console(second)
    block = text.split("-----BEGIN SSH HOST KEY KEYS-----\r\n")[1].split("-----END SSH HOST KEY KEYS-----")[0]
    assert [line.split()[0] for line in block.splitlines()] == ["ecdsa-sha2-nistp256", "ssh-ed25519"]
    assert "Output" not in stage.ec2.get_console_output(InstanceId=first)


def test_what_is_in_use_stays(account: Account, stage: Stage) -> None:
    ec2 = stage.ec2
    (made,) = stage.launch("gpu1")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=stage.vpc)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=stage.subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    in_use: list[tuple[str, Callable[[], Any]]] = [
        ("DependencyViolation", lambda: ec2.delete_security_group(GroupId=stage.group)),
        ("DependencyViolation", lambda: ec2.delete_subnet(SubnetId=stage.subnet)),
        ("DependencyViolation", lambda: ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=stage.vpc)),
        ("DependencyViolation", lambda: ec2.delete_vpc(VpcId=stage.vpc)),
        ("InvalidIPAddress.InUse", lambda: ec2.release_address(AllocationId=address)),
    ]
    assert [refusal(call) for _, call in in_use] == [code for code, _ in in_use]
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.release_address(AllocationId=address)
    for _, call in in_use[:3]:
        call()
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=stage.vpc)
    ec2.delete_key_pair(KeyName="demo")
    assert account.remains() == {}
