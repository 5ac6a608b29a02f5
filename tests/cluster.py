"""A lab as tests use it: playbooks are run against it, commands are run on its hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import podman
from lab.settings import CHECKOUT, Lab


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


def lab_command(command: str, name: str, *arguments: str) -> None:
    argv = [sys.executable, "-m", "lab", command, "--name", name, *arguments]
    subprocess.run(argv, cwd=CHECKOUT, check=True)
