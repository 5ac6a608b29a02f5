"""One emulated host with a kernel of its own: controller, database and compute host at once, with production's cgroups.

Made anew at the start and removed at the end when all passed. LLMOPS_TEST_LAB=NAME uses that one as it stands.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from lab.settings import ADMIN, CHECKOUT, load
from tests.cluster import Play
from tests.conftest import KEPT

from .box import FOLDER, PROBE, Box

INVENTORY = FOLDER / "inventory"
PLAYBOOK = "playbooks/deploy_slurm.yml"


def _vm(command: str, name: str) -> None:
    subprocess.run([sys.executable, "-m", "lab.vm", command, name, str(INVENTORY)], cwd=CHECKOUT, check=True)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Box]:
    """The host, with a Slurm build to unpack and nothing else on it."""
    name = KEPT or "isolation"
    if not KEPT:
        _vm("down", name)
    _vm("up", name)
    box = Box(load(name, INVENTORY))
    if not KEPT:
        box.take_build()
    yield box
    if request.session.testsfailed:
        print(f"\nA test failed: the host is left as it is. Remove it: python -m lab.vm down {name} {INVENTORY}")
    elif not KEPT:
        _vm("down", name)


@pytest.fixture(scope="session")
def first_run(cluster: Box) -> Play:
    return Play(0, "") if KEPT else cluster.play(PLAYBOOK)


@pytest.fixture(scope="session")
def box(site: Box) -> Box:
    """The host as deploy_slurm.yml leaves it, with two users and the probe."""
    site.install((FOLDER / "probe.py").read_text(), PROBE)
    for user in ("alice", "bob"):
        keys = f"/home/{user}/.ssh"
        site.sh(
            f"id {user} 2>&- || useradd --create-home --shell /bin/bash {user};"
            f"install -d -m 700 -o {user} {keys}; install -m 600 -o {user} /home/{ADMIN}/.ssh/authorized_keys {keys}"
        )
    return site


@pytest.fixture(autouse=True)
def _nobody_else(site: Box) -> Iterator[None]:
    """Each test has the whole node."""
    yield
    site.sh("scancel --user=alice; scancel --user=bob; pkill -KILL -u alice; pkill -KILL -u bob; true")
    site.until('[ -z "$(squeue --noheader)" ]', "all jobs are over")
