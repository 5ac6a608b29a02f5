"""People of two groups, and a task of a module run as a user's playbook would run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster

Task = Callable[..., dict[str, Any]]
# The same ids on every host, as Slurm demands.
PEOPLE = {"ada": 2201, "ben": 2202, "cleo": 2203}
HOSTS = ("ctl", "gpu1", "gpu2")


@pytest.fixture
def task(site: Cluster, tmp_path: Path) -> Task:
    """A task on the controller and its result; `fails` says what is expected."""

    def run(module: str, options: dict[str, Any], *, check: bool = False, fails: bool = False) -> dict[str, Any]:
        result = tmp_path / "result.json"
        result.unlink(missing_ok=True)
        copy = {"content": "{{ result | to_json }}", "dest": str(result)}
        tasks = [
            {f"llmops.cluster.{module}": options, "register": "result", "ignore_errors": True},
            {"ansible.builtin.copy": copy, "delegate_to": "localhost", "become": False, "check_mode": False},
        ]
        book = tmp_path / "task.yml"
        book.write_text(yaml.safe_dump([{"hosts": "ctl", "become": True, "gather_facts": False, "tasks": tasks}]))
        done = site.play(str(book), *(["--check", "--diff"] if check else []))
        assert done.rc == 0, done.output
        found: dict[str, Any] = json.loads(result.read_text())
        assert found.get("failed", False) == fails, found
        return found

    return run


@pytest.fixture(scope="package")
def people(site: Cluster) -> Iterator[Cluster]:
    for host in HOSTS:
        for name, uid in PEOPLE.items():
            site.run(host, f"id {name} 2>/dev/null || useradd --create-home --uid {uid} {name}")
    yield site
    for host in HOSTS:
        for name in PEOPLE:
            site.run(host, f"userdel --remove {name}", check=False)
