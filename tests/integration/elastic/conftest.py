"""A lab of its own: a controller and two hosts that the lab's cloud switches, with Slurm alone.

A developer sets LLMOPS_TEST_ELASTIC_LAB to the name of such a lab that is used as it stands, and kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cloud import Cloud
from lab.settings import load
from tests.cluster import Cluster, Play, lab_command

NAME = "elastic"
KEPT = os.environ.get("LLMOPS_TEST_ELASTIC_LAB")
HERE = Path(__file__).parent
INVENTORY = ("--inventory", str(HERE / "inventory"))
PROGRAM = "/usr/local/sbin/llmops-elastic"


class Elastic(Cluster):
    """The lab, its cloud, and what a test asks of both."""

    cloud: Cloud

    def site(self) -> Play:
        return self.play(str(HERE / "site.yml"))

    def submit(self, name: str, *options: str, run: str = "sleep 2") -> str:
        """A job with a name that no other has; its output is its host."""
        words = f"sbatch --parsable --mem=10M --job-name={name} --output=/tmp/%j.out {' '.join(options)}"
        return self.run("ctl", f"cd /tmp && {words} --wrap='hostname; {run}'", user="admin").strip()

    def job(self, number: str) -> dict[str, str]:
        """State, nodes and how often it was put back; nothing of a job that the controller has forgotten."""
        text = self.run("ctl", f"scontrol --oneliner show job {number}", check=False)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def node(self, name: str) -> dict[str, str]:
        text = self.run("ctl", f"scontrol --oneliner show node {name}")
        found = dict(word.split("=", 1) for word in text.split() if "=" in word)
        return {**found, "Reason": text.partition(" Reason=")[2]}

    def flags(self, name: str) -> set[str]:
        return set(self.node(name)["State"].split("+"))

    def status(self) -> str:
        return self.run("ctl", f"{PROGRAM} status")

    def all_off(self) -> bool:
        return not self.cloud.running() and all("POWERED_DOWN" in self.flags(name) for name in self.cloud.hosts)


def until(what: str, true: Callable[[], object], seconds: float = 150) -> None:
    """Wait for it; a busy machine makes everything slow."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"{what}: not within {seconds:.0f} s"
        time.sleep(1)


@pytest.fixture(scope="session", autouse=True)
def _only_the_first_model() -> None:
    """What the other integration tests need of their lab has no meaning here."""


@pytest.fixture(scope="session")
def elastic_lab(request: pytest.FixtureRequest) -> Iterator[Elastic]:
    """The hosts, switched on, with nothing on them."""
    if not KEPT:
        lab_command("down", NAME, *INVENTORY)
    lab_command("up", KEPT or NAME, *INVENTORY, "--no-hub")
    found = Elastic(load(KEPT or NAME, HERE / "inventory"))
    with Cloud(found.lab) as cloud:
        found.cloud = cloud
        yield found
    if not KEPT and not request.session.testsfailed:
        lab_command("down", NAME, *INVENTORY)


@pytest.fixture(scope="session")
def deployed(elastic_lab: Elastic) -> Elastic:
    done = elastic_lab.site()
    assert done.rc == 0, done.output[-6000:]
    return elastic_lab


@pytest.fixture
def elastic(deployed: Elastic, request: pytest.FixtureRequest) -> Iterator[Elastic]:
    """All nodes off and ready to be asked for; nothing counted."""
    deployed.cloud.faults.clear()
    deployed.cloud.delay = 0
    deployed.run("ctl", "scancel --partition=gpu")
    deployed.run("ctl", f"{PROGRAM} unprotect gpu")
    for name in deployed.cloud.hosts:
        if deployed.flags(name) != {"IDLE", "CLOUD", "POWERED_DOWN"}:
            deployed.run("ctl", f"scontrol update nodename={name} state=power_down_force", check=False)
    until("all nodes are off and ready", lambda: _ready(deployed), 240)
    deployed.cloud.calls.clear()
    yield deployed
    if request.session.testsfailed:
        print(deployed.run("ctl", f"{PROGRAM} status; journalctl -t llmops-elastic --no-pager -n 60", check=False))
        print(deployed.run("ctl", "sinfo -N -l; squeue -l; tail -n 60 /var/log/slurm/slurmctld.log", check=False))


def _ready(lab: Elastic) -> bool:
    ready = {"IDLE", "CLOUD", "POWERED_DOWN"}
    return not lab.cloud.running() and all(lab.flags(name) == ready for name in lab.cloud.hosts)
