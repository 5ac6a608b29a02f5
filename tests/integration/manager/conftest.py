"""vllm-manager on a real controller, as each kind of user."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from lab import podman
from tests.cluster import Cluster

SCRIPTS = "/home/vllm/vllm-jobs"


@dataclass(frozen=True)
class Said:
    """What a command ended with and printed."""

    rc: int
    out: str

    def json(self) -> Any:
        return json.loads(self.out)


class Desk(Cluster):
    """The lab, and somebody at a terminal of its controller."""

    def ask(self, command: str, user: str = "vllm") -> Said:
        """The manager as a user; standard output alone where it is JSON."""
        both = "" if "--json" in command else "2>&1"
        text = f"cd ~ && vllm-manager {command} {both}; code=$?; echo; echo rc=$code"
        argv = ["runuser", "-u", user, "--", "bash", "-lc", text]
        body, _mark, rc = podman.exec_in(self.lab.container("ctl"), argv).rpartition("\nrc=")
        return Said(int(rc), body)

    def write(self, path: str, text: str, user: str = "vllm") -> None:
        self.run("ctl", f"printf %s {shlex.quote(text)} > {path}", user=user)


@pytest.fixture(scope="session")
def desk(site: Cluster) -> Desk:
    return Desk(site.lab)


@pytest.fixture
def broken(desk: Desk) -> str:
    """A model whose script has an option that vLLM does not know; its job ends within seconds."""
    edit = "s/--shutdown-timeout 20/--disable-log-requests/; s/serve-phi3/serve-broken/; s/serve_phi3/serve_broken/"
    edit += '; s/--port 8000/--port 8190/; s/"port": 8000/"port": 8190/'
    desk.run("ctl", f"sed -e '{edit}' {SCRIPTS}/serve_phi3.sh > {SCRIPTS}/serve_broken.sh", user="vllm")
    return "broken"


@pytest.fixture(autouse=True)
def _nothing_left(desk: Desk) -> Any:
    yield
    desk.run("ctl", f"vllm-manager stop broken; rm -f {SCRIPTS}/serve_broken.sh", user="vllm", check=False)
