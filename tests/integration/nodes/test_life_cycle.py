"""Nodes come, change, are replaced and go, each by one run, under a job that must not notice. A lab of its own.

The tests follow each other: each begins where the one before ended.
"""

from __future__ import annotations

import shutil
import time
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


# What somebody changed by hand: where, how, and a look that says it is as it was.
BY_HAND = [
    ("n2", "chmod 0755 /var/lib/munge", "stat -c %a /var/lib/munge"),
    ("n2", "usermod --shell /bin/sh munge", "getent passwd munge"),
    ("n2", "echo '# mine' >> /usr/local/libexec/llmops/node_health/decide.py", "sum /usr/local/libexec/llmops/*/*.py"),
    ("n2", "rm /etc/llmops/node_health.json", "cat /etc/llmops/node_health.json"),
    ("n2", "touch /etc/slurm/slurm.key", "ls /etc/slurm"),
    ("n2", "sed -i s/131072/1024/ /etc/systemd/system/slurmd.service", "systemctl cat slurmd"),
    ("n2", "systemctl disable munge slurmd", "systemctl is-enabled munge slurmd"),
    ("ctl", "chmod 0600 /etc/slurm/gres.conf", "stat -c %a /etc/slurm/gres.conf"),
    ("ctl", "echo KillWait=31 >> /etc/slurm/slurm.conf", "cat /etc/slurm/slurm.conf"),
    ("ctl", "systemctl disable --now slurmdbd", "systemctl is-enabled slurmdbd; systemctl is-active slurmdbd"),
    ("ctl", "chown root /etc/slurm/slurmdbd.conf", "stat -c %U /etc/slurm/slurmdbd.conf"),
]


def test_what_differs_is_mended(nodes: Nodes) -> None:
    before = [nodes.run(host, look) for host, _, look in BY_HAND]
    for host, change, _ in BY_HAND:
        nodes.run(host, change)
    assert all(nodes.run(host, look, check=False) != was for (host, _, look), was in zip(BY_HAND, before, strict=True))
    nodes.deploy("--limit", "ctl,n2")
    assert [nodes.run(host, look) for host, _, look in BY_HAND] == before
    assert nodes.works("n2")


def test_the_tasks_themselves_find_nothing_either(nodes: Nodes) -> None:
    """What the comparisons take for finished is so for the tasks that they spare."""
    done = nodes.deploy("-e", "llmops_thorough=true")
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


# A container has the uptime of its machine, so Slurm would not see that it booted: -b makes slurmd count anew.
BOOTS = """[Service]
ExecStart=
ExecStart=/opt/slurm/current/sbin/slurmd --systemd -b --conf-server ctl
"""


def test_reboot_by_slurm(nodes: Nodes) -> None:
    """A job that runs there ends first, one that waits runs afterwards, and nobody has to put the node back."""
    folder = "/etc/systemd/system/slurmd.service.d"
    nodes.run("n3", f"mkdir -p {folder}; printf %s '{BOOTS}' > {folder}/boots.conf; systemctl daemon-reload")
    nodes.run("n3", "systemctl restart slurmd")
    before = nodes.run("n3", "stat -c %Z /proc/1")
    submit = "cd / && sbatch --parsable --nodelist=n3 --mem=10 --output=/dev/null --wrap"
    first = nodes.run("ctl", f"{submit} 'sleep 10'", "admin").strip()
    _until(nodes, f"squeue --noheader --jobs={first} --states=running | grep -q .")
    nodes.run("ctl", "scontrol reboot ASAP nextstate=RESUME reason=firmware n3")
    second = nodes.run("ctl", f"{submit} 'sleep 1'", "admin").strip()
    assert "firmware" in nodes.run("ctl", "scontrol show node n3")
    assert nodes.run("ctl", f"squeue --noheader --jobs={first} --format=%T").strip() == "RUNNING"
    _switched_on_again(nodes, "n3")
    _until(nodes, f"scontrol show job {second} | grep -q JobState=COMPLETED")
    assert nodes.run("n3", "stat -c %Z /proc/1") != before
    ended, began = (
        nodes.run("ctl", f"scontrol show job {job} | grep -o '{key}=[^ ]*' | cut -d= -f2").strip()
        for job, key in ((first, "EndTime"), (second, "StartTime"))
    )
    assert ended <= began
    assert "JobState=COMPLETED" in nodes.run("ctl", f"scontrol show job {first}")
    # Planned: idle, and the backfill's mark for the job that waited is not taken off yet.
    state = nodes.run("ctl", "sinfo --noheader --nodes=n3 --format='%T|%E'").strip()
    assert state in ("idle|none", "planned|none")
    nodes.run("n3", f"rm -r {folder}; systemctl daemon-reload; systemctl restart slurmd")


def _until(nodes: Nodes, command: str, seconds: int = 180) -> None:
    nodes.run("ctl", f"timeout {seconds} bash -c 'until {command}; do sleep 0.5; done'")


def _switched_on_again(nodes: Nodes, host: str, seconds: float = 120) -> None:
    """A container that reboots ends; a machine would come back by itself."""
    name = nodes.lab.container(host)
    end = time.monotonic() + seconds
    while podman.containers(name).get(name) != "exited":
        assert time.monotonic() < end, f"{host} did not go down: {nodes.run('ctl', f'scontrol show node {host}')}"
        time.sleep(0.5)
    podman.run("start", name)


def test_remove_one(nodes: Nodes) -> None:
    nodes.deploy(inventory=nodes.two)
    assert nodes.names() == ["n1", "n2"]
    assert nodes.works("n2")
    assert "n3" not in nodes.run("ctl", "cat /etc/llmops/slurm-hardware.json /etc/slurm/slurm.conf")
