# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as it is installed: one file that needs no Ansible, its help, its completion, its manual."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.cli import build_parser, parse
from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands import command
from ansible_collections.llmops.cluster.plugins.module_utils._manager.completion import commands_of, script
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import EXITS, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._program import (
    ProgramError,
    collect,
    imported,
    pack,
    write,
)

ROOT = Path(__file__).parents[5]
MANUAL = ROOT / "docs" / "vllm-manager.md"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write(pack("_manager"), "_manager", str(tmp_path_factory.mktemp("program"))))


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # -S: no package of any kind, Ansible least of all.
    argv = [sys.executable, "-I", "-S", str(program), *words]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100"}
    return subprocess.run(argv, env=environment, text=True, capture_output=True, check=False)


def test_it_runs_without_ansible(program: Path) -> None:
    found = run(program, "--help")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("usage: vllm-manager ")


def test_a_slip_of_the_pen(program: Path) -> None:
    found = run(program, "sttus")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "There is no command sttus. Did you mean status? See `vllm-manager --help`.\n"


def test_errors_as_json(program: Path) -> None:
    found = run(program, "--json", "plan", "--concurrency", "none")
    assert found.returncode == 2
    assert json.loads(found.stdout) == {
        "code": 2,
        "error": "usage",
        "failed": True,
        "msg": "Argument --concurrency: 'none' found; allowed is a number above 0. See `vllm-manager plan --help`.",
    }


def test_a_key_on_the_command_line_is_not_taken_and_not_repeated(program: Path) -> None:
    found = run(program, "chat", "--api-key", "sk-secret-0123456789")
    assert found.returncode == 2
    assert "sk-secret" not in found.stdout + found.stderr


def test_the_same_sources_make_the_same_bytes() -> None:
    assert pack("_manager") == pack("_manager")


def test_all_that_is_imported_is_in_it() -> None:
    folder = ROOT / "plugins" / "module_utils"
    names = {path.parts[0] for path in collect("_manager", folder)}
    assert {"_manager", "_slurm", "_vllm", "_plan", "_catalogue", "_wait.py"} <= names
    assert "_aws" not in names


def test_what_is_for_type_checkers_is_not_imported() -> None:
    source = (
        "import typing as t\n"
        "if t.TYPE_CHECKING:\n    from ansible_collections.llmops.cluster.plugins.module_utils._a.b import C\n"
        "from ansible_collections.llmops.cluster.plugins.module_utils._d.e import F\n"
    )
    assert imported(source) == {"_d.e.F"}


@pytest.mark.parametrize("package", ["_slurm", "manager", "../x", "_none"])
def test_what_is_no_program(package: str) -> None:
    with pytest.raises(ProgramError, match=r"is no package with a main\.py"):
        pack(package)


def test_words_may_stand_behind_options() -> None:
    args = parse(["chat", "phi3", "--temperature", "0", "What is Slurm?"])
    assert (args.model, args.question) == ("phi3", ["What is Slurm?"])
    assert parse(["serve", "a", "--no-wait", "b"]).model == ["a", "b"]
    with pytest.raises(ManagerError, match="Unrecognized arguments: --nope"):
        parse(["serve", "a", "--nope"])


def test_every_command_is_there() -> None:
    for name in commands_of(build_parser()):
        if name != "completion":
            assert callable(command(name))


def test_the_manual_has_every_command_and_every_exit_code() -> None:
    text = MANUAL.read_text()
    assert [name for name in commands_of(build_parser()) if f"`{name}" not in text] == []
    assert [one.code for one in EXITS if f"| {one.code} | {one.meaning} |" not in text] == []


def complete(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    stub = tmp_path / "vllm-manager"
    stub.write_text("#!/bin/sh\n[ $1 = names ] && case $2 in jobs) echo 41;; *) echo phi3; echo mistral;; esac\n")
    stub.chmod(0o755)
    (tmp_path / "completion").write_text(script(build_parser(), "bash"))
    line = " ".join(f"'{word}'" for word in words)
    text = (
        f"source {tmp_path}/completion; COMP_WORDS=(vllm-manager {line}); COMP_CWORD={len(words)}; "
        "_vllm_manager; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", text], env=environment, text=True, capture_output=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["st"], ["status", "stop"]),
        (["serve", "m"], ["mistral"]),
        (["serve", "--no"], ["--no-wait"]),
        (["cancel", ""], ["41"]),
        (["--json", "logs", "p"], ["phi3"]),
        (["completion", ""], ["bash", "zsh"]),
    ],
)
def test_completion(tmp_path: Path, words: list[str], offered: list[str]) -> None:
    assert complete(tmp_path, *words) == offered


def test_no_completion_for_other_shells() -> None:
    with pytest.raises(ManagerError, match="there is bash and zsh"):
        script(build_parser(), "fish")
