"""vllm_health against a real Slurm and a real vLLM on the CPU."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.settings import CHECKOUT
from tests.cluster import Cluster
from tests.lab.client import api_key

KEY_FILE = "/etc/llmops/vllm-api-key"
SCRIPTS = "/home/vllm/vllm-jobs"
RECORDS = f"{SCRIPTS}/endpoints"


@dataclass
class Server:
    """A serving job of a test's own."""

    job_id: int
    port: int


@dataclass
class Health(Cluster):
    """The lab, and the module run on its controller as a playbook would."""

    _ports: int = 8100

    def look(self, check: bool = False, **options: object) -> dict[str, Any]:
        """The module's result. Ansible's own start-up takes about two seconds before it."""
        given = {"api_key_file": KEY_FILE, "timeout": 60} | options
        arguments = {name: value for name, value in given.items() if value is not None}
        argv = [str(Path(sys.executable).parent / "ansible"), "ctl", "--become", "-i", str(self.lab.inventory)]
        argv += ["-m", "llmops.cluster.vllm_health", "-a", json.dumps(arguments), *(["--check"] if check else [])]
        environment = {
            **os.environ,
            "LLMOPS_LAB_STATE": str(self.lab.state),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
        }
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment, text=True, capture_output=True, timeout=900)
        found = re.search(r"=> (\{.*\})", done.stdout, re.DOTALL)
        assert found, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(found[1])
        assert api_key(self) not in done.stdout + done.stderr
        # Warnings are no part of what a single command prints as its result.
        return result | {"said": " ".join(done.stderr.split())}

    @contextlib.contextmanager
    def serving(self, *, options: str = "", edit: str = "", hold: bool = False) -> Iterator[Server]:
        """The job script of phi3, as rendered but for a port of its own and `edit` (of sed), cancelled afterwards."""
        self._ports += 1
        script = f"{SCRIPTS}/test_{self._ports}.sh"
        change = f's/--port 8000/--port {self._ports}/; s/"port": 8000/"port": {self._ports}/; {edit}'
        self.run("ctl", f"sed -e '{change}' {SCRIPTS}/serve_phi3.sh > {script}", user="vllm")
        held = "--hold" if hold else ""
        command = f"cd {SCRIPTS} && sbatch --parsable --job-name=health-{self._ports} {held} {options} {script}"
        job = int(self.run("ctl", command, user="vllm"))
        try:
            yield Server(job, self._ports)
        finally:
            self.run("ctl", f"scancel {job}; rm -f {script}", user="vllm", check=False)
            self.until(lambda: not self.jobs("%i", f"--jobs={job}", "2>/dev/null || true"), 90)

    def url(self, server: Server, host: str) -> str:
        return f"http://{self.address(host)}:{server.port}"

    def node(self, server: Server) -> str:
        """Where the job runs, as soon as it does."""
        self.until(lambda: self.jobs("%T", f"--jobs={server.job_id}") == ["RUNNING"], 200)
        return self.jobs("%N", f"--jobs={server.job_id}")[0]

    @staticmethod
    def until(holds: object, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not holds():  # type: ignore[operator]
            assert time.monotonic() < ends, "what the test waits for did not come"
            time.sleep(0.5)

    def signal(self, name: str, host: str, pattern: str) -> None:
        """Send a signal to the processes of a host that `pattern` (of pgrep -f) fits, one of them at least."""
        # From its beginning, for srun and the shells around an engine have its command line in theirs.
        self.run(host, f"pids=$(pgrep -f '^{pattern}') && kill -{name} $pids")


@pytest.fixture(scope="session")
def health(site: Cluster) -> Health:
    return Health(site.lab)
