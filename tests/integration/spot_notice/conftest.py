"""A lab of its own with Slurm alone, whose second compute host asks a fake metadata service.

A developer sets LLMOPS_TEST_SPOT_LAB to the name of such a lab that is used as it stands, and kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import podman
from lab.settings import CHECKOUT, load
from tests.cluster import Cluster, Play, lab_command

NAME = "spot"
KEPT = os.environ.get("LLMOPS_TEST_SPOT_LAB")
HERE = Path(__file__).parent
INVENTORY = ("--inventory", str(HERE / "inventory"))
# That of the inventory.
WARNING = 100


class Spot(Cluster):
    """The lab, what EC2 says to gpu2, and what a test asks of Slurm."""

    def site(self, playbook: str = "site.yml", *arguments: str) -> Play:
        return self.play(str(HERE / playbook), *arguments)

    def fake(self) -> None:
        """The fake metadata service on gpu2, with nothing to say. The one that may be there is ended."""
        text = (CHECKOUT / "tests/fake_imds.py").read_text()
        podman.exec_in(self.lab.container("gpu2"), ["tee", "/run/fake_imds.py"], stdin=text)
        self.silence()
        self.run("gpu2", "rm -rf /run/imds && mkdir -p /run/imds/spot /run/imds/events/recommendations")
        self.run("gpu2", "systemd-run --quiet --unit=fake-imds python3 /run/fake_imds.py 1338 /run/imds")

    def silence(self) -> None:
        """No metadata service at all."""
        self.run("gpu2", "systemctl stop fake-imds; systemctl reset-failed fake-imds", check=False)

    def notice(self, seconds: float = 120, action: str = "terminate") -> str:
        """EC2 takes gpu2 back; returns when, as the reason says it."""
        ends = time.gmtime(time.time() + seconds)
        text = json.dumps({"action": action, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", ends)})
        self.run("gpu2", f"echo '{text}' >/run/imds/spot/.new && mv /run/imds/spot/.new /run/imds/spot/instance-action")
        return time.strftime("%H:%M:%S UTC", ends)

    def submit(self, *options: str, run: str = "sleep 600") -> str:
        """A job of a GPU on gpu2, which could as well be on gpu1."""
        self.run("ctl", "scontrol update nodename=gpu1 state=drain reason='a test'")
        words = f"sbatch --parsable --mem=10M --output=/tmp/%j.out --open-mode=append {' '.join(options)}"
        number = self.run("ctl", f"cd /tmp && {words} --wrap='{run}'", user="admin").strip()
        until(f"job {number} runs", lambda: self.job(number).get("JobState") == "RUNNING")
        self.run("ctl", "scontrol update nodename=gpu1 state=resume")
        assert self.job(number)["NodeList"] == "gpu2"
        return number

    def job(self, number: str) -> dict[str, str]:
        text = self.run("ctl", f"scontrol --oneliner show job {number}", check=False)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def reason(self, name: str = "gpu2") -> str:
        """Why a node is drained; nothing when it is not."""
        text = self.run("ctl", f"scontrol --oneliner show node {name}").strip()
        drained = "DRAIN" in text.partition(" State=")[2].split()[0]
        return text.partition(" Reason=")[2].partition(" [")[0] if drained else ""

    def said(self) -> list[str]:
        """What the service said since the test began."""
        text = self.run(
            "gpu2", "journalctl --unit=llmops-spot-notice --output=cat --since=@$(cat /run/since) --no-pager"
        )
        return [
            line for line in text.splitlines() if not line.startswith(("systemd", "-- ", "Start", "Stop", "llmops"))
        ]


def until(what: str, true: Callable[[], object], seconds: float = 60) -> float:
    """Wait for it; returns how long it took."""
    since = time.monotonic()
    while not true():
        assert time.monotonic() < since + seconds, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)
    return time.monotonic() - since


@pytest.fixture(scope="session", autouse=True)
def _only_the_first_model() -> None:
    """What the other integration tests need of their lab has no meaning here."""


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest) -> Iterator[Spot]:
    if not KEPT:
        lab_command("down", NAME, *INVENTORY)
    lab_command("up", KEPT or NAME, *INVENTORY, "--no-hub")
    found = Spot(load(KEPT or NAME, HERE / "inventory"))
    done = found.site("spot_notice.yml" if KEPT else "site.yml")
    assert done.rc == 0, done.output[-6000:]
    yield found
    if not KEPT and not request.session.testsfailed:
        lab_command("down", NAME, *INVENTORY)


@pytest.fixture
def spot(deployed: Spot, request: pytest.FixtureRequest) -> Iterator[Spot]:
    """Both nodes free, no notice, the service new."""
    deployed.run("ctl", "scancel --user=admin; scontrol update nodename=gpu1,gpu2 state=resume", check=False)
    until("no job is left", lambda: not deployed.jobs())
    deployed.fake()
    deployed.run("ctl", "scontrol update nodename=gpu1,gpu2 state=resume", check=False)
    until("both nodes are idle", lambda: not deployed.reason("gpu1") and not deployed.reason("gpu2"))
    deployed.run("gpu2", "sleep 1; date +%s >/run/since; systemctl restart llmops-spot-notice")
    until("the service looks", lambda: deployed.said())
    yield deployed
    if request.session.testsfailed:
        print("\n".join(deployed.said()))
        print(deployed.run("ctl", "sinfo -N -l; squeue -l; tail -n 40 /var/log/slurm/slurmctld.log", check=False))
