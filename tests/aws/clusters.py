"""A cluster on the emulated account, as the tests of the role make, look at and destroy it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.settings import CHECKOUT

from .account import Account, TimedPlay

NAME = "llmops"
INVENTORY = CHECKOUT / "inventory/aws"
# Its settings without the plugin that asks EC2 for the hosts.
NO_HOSTS = INVENTORY / "hosts.yml"
# One zone: the calls that are made are the same, and fewer.
SETTINGS: dict[str, Any] = {
    "aws_cluster_admin_cidrs": ["203.0.113.7/32"],
    "aws_cluster_zones": ["us-east-1a"],
    "aws_cluster_os": "debian-12",
}


@dataclass
class Clusters:
    account: Account
    key: Path

    def run(
        self,
        playbook: str,
        url: str | None = None,
        environment: dict[str, str] | None = None,
        inventory: Path = INVENTORY,
        **more: Any,
    ) -> TimedPlay:
        settings = {**SETTINGS, "aws_cluster_public_key": f"{self.key}.pub", **more}
        flags = ["--extra-vars", json.dumps(settings)]
        return self.account.play(CHECKOUT / playbook, *flags, inventory=inventory, url=url, environment=environment)

    def make(self, url: str | None = None, environment: dict[str, str] | None = None, **more: Any) -> TimedPlay:
        return self.run("tests/aws/cluster.yml", url, environment, **more)

    def destroy(self, environment: dict[str, str] | None = None, **more: Any) -> TimedPlay:
        more = {"aws_cluster_destroy": NAME, **more}
        return self.run("playbooks/destroy_infrastructure.yml", environment=environment, **more)

    def instances(self) -> dict[str, dict[str, Any]]:
        """The living instances of the cluster by node; two of one name are a fault of their own."""
        found: dict[str, dict[str, Any]] = {}
        filters = [
            {"Name": "tag:llmops-cluster", "Values": [NAME]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        for reservation in self.account.client("ec2").describe_instances(Filters=filters)["Reservations"]:
            for instance in reservation["Instances"]:
                name = next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name")
                assert name not in found, f"{name} has two instances"
                found[name] = instance
        return found

    def ids(self) -> dict[str, str]:
        return {name: one["InstanceId"] for name, one in self.instances().items()}


def make_key(folder: Path) -> Path:
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key
