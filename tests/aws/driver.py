"""The driver of elastic nodes as its tests call it, before an emulated EC2."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_imds import FakeImds

from .emulator import Emulator
from .faults import Fault
from .proxy import Call, Proxy
from .stage import newest

ROOT = Path(__file__).parents[2]
# Another Python, such as one with the oldest boto3 of a supported distribution.
PYTHON = os.environ.get("LLMOPS_TEST_DRIVER_PYTHON", sys.executable)
LAUNCHER = """import sys
sys.path.insert(0, sys.argv.pop(1))
from ec2_driver.main import run
run()"""
REGION = "us-east-1"
CLUSTER = "lab"
TEMPLATE = "lab-gpu"
KEY, SECRET = "ASIAOFTHEPROFILE", "the-secret-of-the-profile"


def give_credentials(service: FakeImds) -> None:
    """What an instance with a profile is told."""
    words = {"Code": "Success", "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "a-session"}
    role = service.folder / "iam/security-credentials/controller"
    role.parent.mkdir(parents=True)
    role.write_text(json.dumps({**words, "Expiration": "2099-01-01T00:00:00Z"}))
    # The list of roles has the address of the folder, which for a file server is another file.
    service.indexes["iam/security-credentials/"] = role.name


def refusal(
    action: str, code: str, times: int = 1, status: int = 400, at: int = 1, words: Mapping[str, str] | None = None
) -> Fault:
    """EC2 says no to calls of an action."""
    said = "so the test wants it"
    return Fault("refuse", action=action, code=code, message=said, times=times, status=status, at=at, words=words or {})


@dataclass(frozen=True)
class Done:
    """One call of the driver."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def nodes(self) -> dict[str, dict[str, str]]:
        assert self.status == 0, self.err
        return json.loads(self.out)["nodes"]

    @property
    def results(self) -> dict[str, str]:
        return {name: one["result"] for name, one in self.nodes.items()}

    @property
    def instances(self) -> list[dict[str, Any]]:
        assert self.status == 0, self.err
        return json.loads(self.out)["instances"]


@functools.cache
def image_of(emulator: Emulator) -> dict[str, Any]:
    """Images are the same after a reset."""
    return newest(emulator.client("ec2"), "debian-12-amd64-*")


class Bench:
    """An account with subnets and a launch template, and the driver."""

    def __init__(self, emulator: Emulator, proxy: Proxy, metadata_url: str) -> None:
        self.proxy, self.metadata_url = proxy, metadata_url
        self.ec2 = emulator.client("ec2")
        self.image = image_of(emulator)
        zones = [{"Name": "availability-zone", "Values": ["us-east-1a", "us-east-1b"]}]
        self.subnets = sorted(one["SubnetId"] for one in self.ec2.describe_subnets(Filters=zones)["Subnets"])
        self.options: dict[str, Any] = {"launch_template": TEMPLATE, "types": ["g6.xlarge"], "subnets": self.subnets}

    def make_template(self, name: str = TEMPLATE, **more: Any) -> None:
        tags = [{"Key": key, "Value": value} for key, value in self.template_tags().items()]
        disk = {
            "DeviceName": self.image["RootDeviceName"],
            "Ebs": {"VolumeType": "gp3", "Encrypted": True, "VolumeSize": 50},
        }
        data = {
            "ImageId": self.image["ImageId"],
            "InstanceType": "g6.4xlarge",
            "MetadataOptions": {"HttpTokens": "required"},
            "BlockDeviceMappings": [disk],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            **more,
        }
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)

    @staticmethod
    def template_tags() -> dict[str, str]:
        return {"llmops-cluster": CLUSTER, "llmops-role": "compute", "llmops-group": "gpu"}

    def call(self, command: str, *names: str, token: str = "", settings: Any = None, **more: Any) -> Done:
        """Run it as llmops-elastic does. `more` is for the options of the nodes, `instances` aside."""
        ids = more.pop("instances", [])
        nodes = [
            {"name": name, "token": token or f"token of {name}", "options": {**self.options, **more}, "instances": ids}
            for name in names
        ]
        given = {"region": REGION, "endpoint_url": self.proxy.url, "metadata_url": self.metadata_url, "attempts": 3}
        request = {"version": 1, "cluster": CLUSTER, "settings": {**given, **(settings or {})}, "nodes": nodes}
        return self.run(command, json.dumps(request))

    def run(self, command: str, text: str) -> Done:
        argv = [PYTHON, "-I", "-c", LAUNCHER, str(ROOT / "roles/aws_elastic/files"), command]
        # Neither is the driver's: it must use the instance profile.
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "elses"}
        since = time.monotonic()
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=environment, timeout=300)
        assert SECRET not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - since)

    def there(self, *states: str) -> list[dict[str, Any]]:
        """The instances of the account, by default those that are not gone."""
        wanted = states or ("pending", "running", "stopping", "stopped")
        pages = self.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(wanted)}]
        )
        return [one for page in pages for group in page["Reservations"] for one in group["Instances"]]

    def by_node(self, *states: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.there(*states):
            found.setdefault(tags_of(one).get("llmops-elastic", ""), []).append(one["InstanceId"])
        return found

    def foreign(self, tags: Mapping[str, str]) -> str:
        """An instance that somebody else made."""
        words = [{"Key": key, "Value": value} for key, value in tags.items()]
        made = self.ec2.run_instances(
            ImageId=self.image["ImageId"],
            InstanceType="g6.xlarge",
            MinCount=1,
            MaxCount=1,
            ClientToken=f"foreign {sorted(tags.items())} {time.time_ns()}",
            TagSpecifications=[{"ResourceType": "instance", "Tags": words}],
        )
        return made["Instances"][0]["InstanceId"]


def tags_of(instance: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in instance.get("Tags", [])}


def actions(calls: Sequence[Call]) -> list[str]:
    return [one.action for one in calls]
