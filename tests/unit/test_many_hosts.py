"""Checking an inventory is no task of each host: with a thousand that takes minutes before the first is reached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import many_hosts

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("many")
    variables = many_hosts.write(folder, 40)
    program = Path(sys.executable).parent / "ansible-playbook"
    argv = [str(program), "-i", str(folder / "hosts.yml"), "-e", f"@{variables}", "playbooks/validate_inventory.yml"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
    done = subprocess.run(argv, cwd=CHECKOUT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout


def test_few_hosts_have_tasks(output: str) -> None:
    recap = output.split("PLAY RECAP")[1].splitlines()[1:]
    assert sorted(line.split()[0] for line in recap if line.strip()) == ["ctl", "localhost", "node0001"]


def test_all_is_checked(output: str) -> None:
    for name in (
        "names and types of the variables",
        "the catalogue and the selection",
        "what slurm.conf",
        "the limits",
    ):
        assert f"Check {name}" in output
