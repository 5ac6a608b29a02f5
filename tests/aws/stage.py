"""The least that an instance needs, made with boto3: a place for tests of the test bed itself."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .amis import DEBIAN
from .emulator import Emulator

ZONE = "us-east-1a"
TYPE = "g6.2xlarge"


@dataclass(frozen=True)
class Stage:
    ec2: Any
    vpc: str
    subnet: str
    group: str
    image: str
    key: Path

    def request(self, name: str, **others: Any) -> dict[str, Any]:
        """The arguments of RunInstances."""
        tags = [{"Key": "Name", "Value": name}, {"Key": "Cluster", "Value": "demo"}]
        return {
            "ImageId": self.image,
            "InstanceType": TYPE,
            "MinCount": 1,
            "MaxCount": 1,
            "KeyName": "demo",
            "SubnetId": self.subnet,
            "SecurityGroupIds": [self.group],
            "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
            **others,
        }

    def launch(self, name: str, **others: Any) -> list[dict[str, Any]]:
        return list(self.ec2.run_instances(**self.request(name, **others))["Instances"])

    def instance(self, one: str) -> dict[str, Any]:
        return dict(self.ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0])

    def console(self, one: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=one, Latest=True).get("Output", ""))


def newest(ec2: Any, name: str, owner: str = DEBIAN) -> dict[str, Any]:
    filters = [{"Name": "name", "Values": [name]}, {"Name": "architecture", "Values": ["x86_64"]}]
    images = ec2.describe_images(Owners=[owner], Filters=filters)["Images"]
    return dict(max(images, key=lambda one: str(one["CreationDate"])))


def new_key(folder: Path) -> Path:
    """A private key; the public one lies beside it."""
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def make(emulator: Emulator, folder: Path) -> Stage:
    key = new_key(folder)
    ec2 = emulator.client("ec2")
    ec2.import_key_pair(KeyName="demo", PublicKeyMaterial=key.with_suffix(".pub").read_bytes())
    vpc = ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.42.0.0/24", AvailabilityZone=ZONE)["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    group = ec2.create_security_group(GroupName="demo", Description="demo", VpcId=vpc)["GroupId"]
    return Stage(ec2, vpc, subnet, group, newest(ec2, "debian-12-amd64-*")["ImageId"], key)
