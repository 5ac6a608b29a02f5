"""hf_model on the hosts of a lab, with its hub and its Slurm. The tests use caches of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.settings import CHECKOUT
from tests.cluster import Cluster

# Not the model that site.yml serves: a job that names it, from whatever cache, forbids to remove it.
REPO = "llmops-lab/mistral-tiny"
# On each host its own, and one that all of them share.
OWN, SHARED = "/opt/test-models", "/home/vllm/test-models"


@dataclass
class Models(Cluster):
    """The lab, and the module run on its hosts as a playbook would."""

    def start(self, host: str, check: bool = False, user: str = "root", **options: object) -> subprocess.Popen[str]:
        given = {"repo_id": REPO, "endpoint": self.hub, "cache_dir": OWN, "reserve_bytes": 0} | options
        argv = [str(Path(sys.executable).parent / "ansible"), host, "--become", "--become-user", user]
        argv += ["-i", str(self.lab.inventory), "-m", "llmops.cluster.hf_model", "-a", json.dumps(given)]
        environment = {
            **os.environ,
            "LLMOPS_LAB_STATE": str(self.lab.state),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
        }
        argv += ["--check"] if check else []
        return subprocess.Popen(
            argv, cwd=CHECKOUT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def result(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        out = process.communicate(timeout=300)[0]
        found = re.search(r"=> (\{.*\})", out, re.DOTALL)
        assert found, out
        result: dict[str, Any] = json.loads(found[1])
        return result

    def model(self, host: str, check: bool = False, user: str = "root", **options: object) -> dict[str, Any]:
        return self.result(self.start(host, check, user, **options))

    @property
    def hub(self) -> str:
        return str(self.lab.facts()["hub_url"])

    def given_by_hub(self, repo: str = REPO) -> int:
        """Bytes of this repository's files that the hub has sent since the lab was made."""
        log = (self.lab.state / "hub/access.jsonl").read_text().splitlines()
        entries = [entry for entry in map(json.loads, log) if f"/{repo}/resolve/" in entry["path"]]
        return sum(entry["bytes"] for entry in entries if entry["status"] < 300)

    def files(self, host: str, path: str) -> list[str]:
        return self.run(host, f"cd {path} && find -L . -type f -printf '%P %s\\n' | sort").splitlines()

    def submit(self, script: str, arguments: str = "", options: str = "--hold") -> int:
        place = f"{SHARED}.sh"
        self.run("ctl", f"cat > {place} <<'END'\n#!/bin/bash\n{script}\nEND", user="vllm")
        return int(self.run("ctl", f"cd && sbatch --parsable {options} {place} {arguments}", user="vllm"))


@pytest.fixture
def models(site: Cluster) -> Iterator[Models]:
    """With no cache of these tests, before and after."""

    found = Models(site.lab)

    def remove() -> None:
        for host in ("gpu1", "gpu2"):
            found.run(host, f"rm -rf {OWN} {SHARED} {SHARED}.sh")

    remove()
    yield found
    remove()
