"""Nodes come, change, are replaced and go, each by one run, under a job that must not notice. A lab of its own.

The tests follow each other: each begins where the one before ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import podman
from lab.settings import CHECKOUT, load
from tests.cluster import Cluster, Play, lab_command

NAME = "nodes"
INVENTORY = Path(__file__).parent / "inventory"


@pytest.fixture(scope="session", autouse=True)
def _only_the_first_model() -> None:
    """What the other integration tests need of their lab has no meaning here."""


class Nodes(Cluster):
    """The lab, an inventory that may lack its third node, and the job that runs all the time."""

    two: Path
    job: str

    def deploy(self, *arguments: str, inventory: Path = INVENTORY) -> Play:
        models = f"lab_models={CHECKOUT / 'lab/models/hub'}"
        done = self.play("playbooks/deploy_slurm.yml", "-e", models, *arguments, inventory=inventory)
        assert done.rc == 0, done.output[-5000:]
        return done

    def names(self) -> list[str]:
        return self.run("ctl", "sinfo --noheader --Node --format='%N %T' | grep -v down").split()[::2]

    def works(self, node: str) -> bool:
        return self.run("ctl", f"cd / && srun --nodelist={node} --mem=10 hostname", "admin").strip() == node

    def gres(self, node: str) -> str:
        return self.run("ctl", f"sinfo --noheader --nodes={node} --format=%G").strip()

    def what_the_job_is(self) -> str:
        return self.run("ctl", f"squeue --noheader --jobs={self.job} --format='%i %T %N %S %R'")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    where = ("--inventory", str(INVENTORY))
    lab_command("down", NAME, *where)
    lab_command("up", NAME, *where, "--no-hub")
    found = Nodes(load(NAME, INVENTORY))
    found.two = tmp_path_factory.mktemp("two") / "inventory"
    shutil.copytree(INVENTORY, found.two)
    hosts = found.two / "hosts.yml"
    hosts.write_text("".join(line for line in hosts.read_text().splitlines(True) if " n3:" not in line))
    found.deploy(inventory=found.two)
    submit = "cd / && sbatch --parsable --nodelist=n1 --gres=gpu:1 --mem=10 --output=/dev/null --wrap='sleep 7200'"
    found.job = found.run("ctl", submit, "admin").strip()
    found.run("ctl", f"until squeue --noheader --jobs={found.job} --states=running | grep -q .; do sleep 0.5; done")
    yield found
    lab_command("down", NAME, *where)


@pytest.fixture(autouse=True)
def _the_job_goes_on(nodes: Nodes) -> Iterator[None]:
    before = nodes.what_the_job_is()
    yield
    assert nodes.what_the_job_is() == before


def test_what_nobody_knows_cannot_be_left_out(nodes: Nodes) -> None:
    before = nodes.run("ctl", "sha256sum /etc/slurm/slurm.conf")
    play = nodes.play(
        "playbooks/deploy_slurm.yml",
        *("-e", f"lab_models={CHECKOUT / 'lab/models/hub'}", "--limit", "ctl,n2"),
        inventory=INVENTORY,
    )
    assert play.rc != 0
    assert "This run leaves out n3, and no earlier one noted what they have" in play.words
    assert nodes.run("ctl", "sha256sum /etc/slurm/slurm.conf") == before


def test_add_one_without_a_look_at_the_others(nodes: Nodes) -> None:
    done = nodes.deploy("--limit", "ctl,n3")
    assert "ok: [n1]" not in done.output
    assert nodes.names() == ["n1", "n2", "n3"]
    assert nodes.works("n3")


@pytest.mark.parametrize(
    "limit", ["all", *(pytest.param(one, marks=pytest.mark.slow) for one in ("ctl", "n2", "ctl,n2"))]
)
def test_again_changes_nothing(nodes: Nodes, limit: str) -> None:
    done = nodes.deploy("--limit", limit)
    assert done.changed == 0, done.output[-5000:]


def test_other_hardware(nodes: Nodes) -> None:
    assert nodes.gres("n3") == "gpu:l4:2"
    nodes.run("n3", "rm /dev/nvidia1")
    nodes.deploy("--limit", "ctl,n3")
    assert nodes.gres("n3") == "gpu:l4:1"
    assert nodes.works("n3")


def test_replace_one(nodes: Nodes) -> None:
    podman.remove(nodes.lab.container("n2"))
    lab_command("up", NAME, "--inventory", str(INVENTORY), "--no-hub")
    nodes.deploy("--limit", "ctl,n2")
    assert nodes.names() == ["n1", "n2", "n3"]
    assert nodes.works("n2")


def test_remove_one(nodes: Nodes) -> None:
    nodes.deploy(inventory=nodes.two)
    assert nodes.names() == ["n1", "n2"]
    assert nodes.works("n2")
    assert "n3" not in nodes.run("ctl", "cat /etc/llmops/slurm-hardware.json /etc/slurm/slurm.conf")
