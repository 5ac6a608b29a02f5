"""A node of the lab, made sick and well again."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import Cluster

SETTINGS = "/etc/llmops/node_health.json"
# The lab's interval is 20 s, which Slurm may miss by some; the machine is slow at times.
INTERVAL = 90


@dataclass
class Nodes(Cluster):
    """The lab, and what these tests do with its nodes."""

    def node(self, name: str) -> tuple[set[str], str]:
        """State and reason as slurmctld has them."""
        found = json.loads(self.run("ctl", f"scontrol show node {name} --json"))["nodes"][0]
        return set(found["state"]), found["reason"]

    def until(self, what: str, holds: Callable[[], object], seconds: float = INTERVAL) -> None:
        ends = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < ends, f"{what}: did not come in {seconds:.0f} s"
            time.sleep(0.5)

    def until_drained(self, name: str, reason: str) -> None:
        wanted = f"node_health: {reason} (resumes by itself)"
        self.until(f"{name} drained as {wanted}", lambda: self._is_drained(name, wanted))

    def until_resumed(self, name: str) -> None:
        self.until(f"{name} resumed", lambda: "DRAIN" not in self.node(name)[0])

    def _is_drained(self, name: str, reason: str) -> bool:
        state, found = self.node(name)
        return "DRAIN" in state and found == reason

    def checks(self, name: str) -> None:
        """Run the health check now, as slurmd does. One that finds slurmd's own at work does nothing, so twice."""
        check = "/usr/local/libexec/llmops/node-health-check"
        self.run(name, f"{check}; flock /run/llmops-node-health/check.lock true; {check}")

    @contextlib.contextmanager
    def without_checks(self, name: str) -> Iterator[None]:
        """No health check comes between: each one finds another at work."""
        holder = "flock /run/llmops-node-health/check.lock sleep 300"
        self.run(name, f"systemd-run --quiet --unit=test-no-check {holder}")
        try:
            yield
        finally:
            self.run(name, "systemctl stop test-no-check", check=False)

    @contextlib.contextmanager
    def settings(self, name: str, **changes: Any) -> Iterator[None]:
        """Other settings on one node, for a while."""
        text = json.dumps(json.loads(self.run(name, f"cat {SETTINGS}")) | changes)
        self.run(name, f"cp -p {SETTINGS} {SETTINGS}.kept; cat > {SETTINGS} <<'E'\n{text}\nE")
        try:
            yield
        finally:
            self.run(name, f"mv {SETTINGS}.kept {SETTINGS}")

    def submit(self, script: str, *options: str, user: str = "vllm") -> int:
        command = f"cd /tmp && sbatch --parsable --output=/dev/null {' '.join(options)} <<'E'\n#!/bin/bash\n{script}\nE"
        return int(self.run("ctl", command, user=user))

    def job(self, job: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("ctl", f"scontrol show job {job} --json"))["jobs"][0]
        return found

    def ended(self, job: int) -> bool:
        return self.job(job)["job_state"] == ["COMPLETED"]


@pytest.fixture(scope="session")
def nodes(site: Cluster) -> Nodes:
    return Nodes(site.lab)


@pytest.fixture(autouse=True)
def _in_service(nodes: Nodes) -> Iterator[None]:
    """All nodes in service before and after each test."""
    clear = "for one in gpu1 gpu2; do scontrol update nodename=$one state=resume; done"
    nodes.run("ctl", clear, check=False)
    # Slurm takes a resumed node for one that does not respond until it has asked it, and the check leaves that alone.
    nodes.until(
        "all nodes respond", lambda: all("NOT_RESPONDING" not in nodes.node(name)[0] for name in ("gpu1", "gpu2"))
    )
    yield
    nodes.run("ctl", clear, check=False)
