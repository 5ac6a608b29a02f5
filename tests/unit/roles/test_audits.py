"""What a role makes on a host is what it compares first: else a host where it differs would be taken for finished."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
# The files of tasks that are left out where the comparison finds nothing.
GUARDED = {
    "local_nvme": ["install"],
    "model_store": ["cache"],
    "munge": ["configure", "install_upstream"],
    "node_health": ["install"],
    "slurm": ["compute", "controller", "controller_files", "database_daemon", "database_server", "standby"],
    "spot_notice": ["install"],
    "vllm": ["key", "user"],
    "vllm_manager": ["install", "links", "operators"],
}
MODULES = ("template", "copy", "file")


def tasks(role: str) -> Iterator[tuple[str, dict[str, t.Any]]]:
    for name in GUARDED[role]:
        for task in yaml.safe_load((ROLES / role / f"tasks/{name}.yml").read_text()):
            for module in MODULES:
                given = task.get(f"ansible.builtin.{module}")
                if given and "loop" not in task and given.get("state") != "absent":
                    yield module, given


def wanted(node: t.Any) -> Iterator[dict[str, t.Any]]:
    if isinstance(node, dict):
        if "path" in node and node.get("state") != "absent":
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from wanted(one)


CASES = [(role, module, given) for role in GUARDED for module, given in tasks(role)]


@pytest.mark.parametrize(
    ("role", "module", "given"), CASES, ids=[f"{r} {g.get('dest', g.get('path'))}" for r, _, g in CASES]
)
def test_what_is_made_is_compared(role: str, module: str, given: dict[str, t.Any]) -> None:
    variables = yaml.safe_load((ROLES / role / "vars/main.yml").read_text())
    path = given.get("dest", given.get("path"))
    entry = next(one for one in wanted(variables) if one["path"] == path)
    for key in ("owner", "group", "mode"):
        assert entry.get(key) == given.get(key), key
    if module == "template":
        assert f"'{given['src']}'" in entry["sha256"]
    if module == "copy":
        assert "sha256" in entry
    assert entry.get("state", "file") == {"directory": "directory", "link": "link"}.get(given.get("state", ""), "file")


def services(role: str) -> Iterator[str]:
    for name in GUARDED[role]:
        for task in yaml.safe_load((ROLES / role / f"tasks/{name}.yml").read_text()):
            unit = task.get("ansible.builtin.systemd_service", {}).get("name")
            if unit:
                yield unit.removesuffix(".service")


@pytest.mark.parametrize(("role", "service"), sorted({(role, one) for role in GUARDED for one in services(role)}))
def test_services_that_are_started_are_compared(role: str, service: str) -> None:
    text = "\n".join(path.read_text() for name in ("tasks", "vars") for path in (ROLES / role / name).glob("*.yml"))
    assert f"{{name: {service}, files: " in text
