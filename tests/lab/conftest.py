"""A lab of the tests' own: name, network and state differ from the demo's, so testing never harms a demo in use.

Made anew at the start, whatever an earlier run left; removed at the end when all passed, else left for a look.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import podman
from lab.settings import CHECKOUT, Lab, load

NAME = "test"


@dataclass(frozen=True)
class Play:
    """One run of ansible-playbook."""

    rc: int
    output: str

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output.split("PLAY RECAP")[-1]))

    @property
    def words(self) -> str:
        """The output with its white space folded: Ansible breaks long messages where it likes."""
        return " ".join(self.output.split())


@dataclass
class Cluster:
    """The lab under test, and what a test does with it."""

    lab: Lab

    def play(self, playbook: str, *arguments: str, cwd: Path = CHECKOUT, inventory: Path | None = None) -> Play:
        program = str(Path(sys.executable).parent / "ansible-playbook")
        environment = {
            **os.environ,
            "LLMOPS_LAB_STATE": str(self.lab.state),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        argv = [program, playbook, "--inventory", str(inventory or self.lab.inventory), *arguments]
        print(f"$ ansible-playbook {playbook} {' '.join(arguments)}", flush=True)
        done = subprocess.run(
            argv, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3600
        )
        return Play(done.returncode, done.stdout)

    def run(self, host: str, command: str, user: str = "root", check: bool = True) -> str:
        """A shell command on a host, as a user."""
        argv = ["runuser", "-u", user, "--", "bash", "-lc", command]
        return podman.exec_in(self.lab.container(host), argv, check=check)

    def jobs(self, form: str = "%i %j %T %N", *arguments: str) -> list[str]:
        text = self.run("ctl", f"squeue --noheader --format='{form}' {' '.join(arguments)}")
        return sorted(text.splitlines())

    def address(self, host: str) -> str:
        return next(self.lab.address(one.octet) for one in self.lab.hosts if one.name == host)

    def evidence(self) -> str:
        """What one would look at first after a failure."""
        looks = [
            ("ctl", "squeue; sinfo -N -l; tail -n 15 /var/log/slurm/slurmctld.log"),
            (
                "ctl",
                'cd /home/vllm/vllm-jobs/outputs && for f in $(ls -t | head -2); do echo "== $f"; tail -n 25 $f; done',
            ),
            ("gpu1", "journalctl --no-pager -n 15 -u slurmd"),
            ("gpu2", "journalctl --no-pager -n 15 -u slurmd"),
        ]
        return "\n".join(f"--- {host}: {look}\n{self.run(host, look, check=False)}" for host, look in looks)


def _lab_command(command: str) -> None:
    subprocess.run([sys.executable, "-m", "lab", command, "--name", NAME], cwd=CHECKOUT, check=True)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three hosts with nothing on them."""
    _lab_command("down")
    _lab_command("up")
    yield Cluster(load(NAME, CHECKOUT / "inventory/lab"))
    if request.session.testsfailed:
        print(f"\nA test failed: the lab {NAME!r} is left as it is. Remove it: python -m lab down --name {NAME}")
    else:
        _lab_command("down")


@pytest.fixture(scope="session")
def first_run(cluster: Cluster) -> Play:
    """site.yml on hosts with nothing on them."""
    return cluster.play("site.yml")


@pytest.fixture(scope="session")
def site(cluster: Cluster, first_run: Play) -> Cluster:
    """The lab with site.yml run on it."""
    assert first_run.rc == 0, first_run.output[-6000:]
    return cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    found = getattr(item, "funcargs", {}).get("cluster") or getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(found, Cluster):
        report.sections.append(("The cluster's own words", found.evidence()))
    return report
