"""A lab of its own: a real controller whose elastic nodes are instances of an emulated EC2.

A developer sets LLMOPS_TEST_EC2_LAB to the name of such a lab that is used as it stands, and kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud import GATEWAY_OCTET
from lab.settings import load
from tests.aws.driver import Bench, give_credentials
from tests.aws.emulator import Emulator
from tests.aws.proxy import Proxy
from tests.cluster import Cluster, Play, lab_command
from tests.fake_imds import FakeImds

NAME = "ec2"
KEPT = os.environ.get("LLMOPS_TEST_EC2_LAB")
HERE = Path(__file__).parent
INVENTORY = ("--inventory", str(HERE / "inventory"))


class Ec2Lab(Cluster):
    """The lab, the account, and what a test asks of Slurm."""

    account: Bench

    def site(self) -> Play:
        return self.play(str(HERE / "site.yml"))

    def node(self, name: str) -> dict[str, str]:
        text = self.run("ctl", f"scontrol --oneliner show node {name}")
        found = dict(word.split("=", 1) for word in text.split() if "=" in word)
        return {**found, "Reason": text.partition(" Reason=")[2]}

    def power(self, way: str, *names: str) -> None:
        self.run("ctl", f"scontrol update nodename={','.join(names)} state=power_{way}")


@pytest.fixture(scope="session", autouse=True)
def _only_the_first_model() -> None:
    """What the other integration tests need of their lab has no meaning here."""


@pytest.fixture(scope="session")
def ec2_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2Lab]:
    if not KEPT:
        lab_command("down", NAME, *INVENTORY)
    lab_command("up", KEPT or NAME, *INVENTORY, "--no-hub")
    found = Ec2Lab(load(KEPT or NAME, HERE / "inventory"))
    gateway = found.lab.address(GATEWAY_OCTET)
    imds = FakeImds(tmp_path_factory.mktemp("imds"), address=gateway)
    give_credentials(imds)
    with Emulator() as emulator, Proxy(emulator.url, host=gateway) as proxy, imds:
        found.account = Bench(emulator, proxy, imds.url)
        found.account.make_template()
        found.lab.write_facts(ec2_url=proxy.url, imds_url=imds.url)
        done = found.site()
        assert done.rc == 0, done.output[-6000:]
        yield found
        if request.session.testsfailed:
            print(
                found.run("ctl", "journalctl -t llmops-elastic --no-pager -n 60; sinfo -N -l; squeue -l", check=False)
            )
    if not KEPT and not request.session.testsfailed:
        lab_command("down", NAME, *INVENTORY)
