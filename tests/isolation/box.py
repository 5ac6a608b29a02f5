"""The emulated host as tests use it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.settings import cache_dir
from tests.cluster import Cluster

FOLDER = Path(__file__).parent
NAME = "box"
PROBE = "/usr/local/lib/probe.py"
# Seconds that an emulated host on a busy machine may take for what takes a moment.
PATIENCE = 120


@dataclass
class Box(Cluster):
    """One host, reached over SSH."""

    def run(self, host: str, command: str, user: str = "root", check: bool = True) -> str:
        done = self.ssh(self._as(command, user))
        if check and done.returncode:
            raise AssertionError(f"{command!r} as {user} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def sh(self, command: str, user: str = "root", check: bool = True) -> str:
        return self.run(NAME, command, user, check)

    def ssh(self, command: str, *options: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        """As the administrator over one lasting connection, unless the options say otherwise."""
        control = ("-o", "ControlMaster=auto", "-o", f"ControlPath={self.lab.state}/cm", "-o", "ControlPersist=1800")
        argv = ["ssh", "-F", str(self.lab.ssh_config), *(options or control), NAME, command]
        return subprocess.run(argv, text=True, capture_output=True, timeout=timeout)

    def login(self, user: str, command: str) -> tuple[int, str]:
        """A session of its own, as a person's; what ends it first says nothing of the command's status."""
        done = self.ssh(command, "-o", "ControlPath=none", "-o", "BatchMode=yes", "-l", user, timeout=PATIENCE)
        return done.returncode, done.stdout + done.stderr

    def probe(self, words: str, user: str, srun: str = "") -> dict[str, Any]:
        """What the probe finds, in a job when options of srun are given."""
        inside = f"srun --quiet {srun} " if srun else ""
        return json_of(self.sh(f"cd /tmp && {inside}python3 {PROBE} {words}", user))

    def submit(self, user: str, options: str, script: str) -> int:
        """A batch job; its output is in /tmp/job-ID."""
        line = f"cd /tmp && sbatch --parsable --output=/tmp/job-%j {options} --wrap={shlex.quote(script)}"
        return int(self.sh(line, user))

    def until(self, condition: str, what: str, seconds: int = PATIENCE) -> None:
        """Wait on the host until a command succeeds there."""
        loop = f"for i in $(seq {2 * seconds}); do {condition} && exit 0; sleep 0.5; done; exit 1"
        done = self.ssh(self._as(loop, "root"))
        assert done.returncode == 0, f"{what}: not within {seconds} s\n{self.evidence()}"

    def until_state(self, job: int, state: str) -> None:
        accounted = f"sacct --noheader --allocations --parsable2 --format=State --jobs={job}"
        self.until(f"[[ $({accounted}) == {state}* ]]", f"job {job} is {state}")

    def until_running(self, job: int) -> None:
        self.until(f"[ $(squeue --noheader --format=%T --jobs={job}) = RUNNING ]", f"job {job} runs")

    def install(self, text: str, path: str) -> None:
        """A file for everybody to read."""
        script = f"install -D -m 644 /dev/stdin {path}"
        argv = ["ssh", "-F", str(self.lab.ssh_config), NAME, f"sudo {script}"]
        subprocess.run(argv, input=text.encode(), check=True)

    def take_build(self) -> None:
        """Slurm comes from the cache: compiled here, it would take an emulated host the best part of an hour."""
        done = self.play(str(FOLDER / "name_build.yml"), "--check")
        found = re.search(r"build: (slurm-\S+\.tar\.zst)", done.output)
        if not found:
            raise LabError(f"asking for the name of Slurm's build failed:\n{done.output[-2000:]}")
        tarball = cache_dir() / "artifacts" / found[1]
        if not tarball.exists():
            raise LabError(f"{tarball} is missing, and would be compiled under emulation. `make demo` makes it.")
        argv = [
            "ssh",
            "-F",
            str(self.lab.ssh_config),
            NAME,
            f"sudo install -D -m 644 /dev/stdin /var/cache/llmops/{found[1]}",
        ]
        with tarball.open("rb") as file:
            subprocess.run(argv, stdin=file, check=True)

    def evidence(self) -> str:
        looks = (
            "squeue; sinfo -N -l; sinfo -R; tail -n 20 /var/log/slurm/slurmd.log /var/log/slurm/slurmctld.log; free -m"
        )
        return self.sh(looks, check=False)

    @staticmethod
    def _as(command: str, user: str) -> str:
        become = "" if user == "root" else f"runuser -u {user} -- "
        return f"sudo {become}bash -lc {shlex.quote(command)}"


def json_of(text: str) -> dict[str, Any]:
    found: Mapping[str, Any] = json.loads(text)
    return dict(found)
