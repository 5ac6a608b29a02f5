# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an engine, read from its own parser and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "roles" / "vllm_jobs" / "files" / "engine_options.py"
PARSER = """
def make_arg_parser(parser):
    print("a line of the engine's own")
    parser.add_argument("--dtype", choices=["auto", "half"])
    parser.add_argument("--port", "-p", type=int)
    return parser
"""


def engine(root: Path, place: str) -> Path:
    """A package that looks like vLLM as far as the script does."""
    files = {
        "vllm/__init__.py": '__version__ = "0.99"\n',
        "vllm/utils/__init__.py": "",
        "vllm/utils/argparse_utils.py": "from argparse import ArgumentParser as FlexibleArgumentParser\n",
        "vllm/entrypoints/__init__.py": "",
        f"vllm/entrypoints/{place}/__init__.py": "",
        f"vllm/entrypoints/{place}/cli_args.py": PARSER,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def run(package: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(
        [sys.executable, SCRIPT, cache], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("place", ["launchers", "openai"])
def test_options_and_their_values(tmp_path: Path, place: str) -> None:
    done = run(engine(tmp_path / "engine", place), tmp_path / "cache")
    assert json.loads(done.stdout) == {
        "version": "0.99",
        "options": {"-h": None, "--help": None, "--dtype": ["auto", "half"], "--port": None, "-p": None},
    }


def test_the_engine_is_asked_once(tmp_path: Path) -> None:
    first = run(engine(tmp_path / "engine", "launchers"), tmp_path / "cache")
    second = run(tmp_path / "no-engine", tmp_path / "cache")
    assert (second.returncode, second.stdout) == (0, first.stdout)


def test_an_engine_with_its_parser_elsewhere(tmp_path: Path) -> None:
    done = run(engine(tmp_path / "engine", "elsewhere"), tmp_path / "cache")
    assert done.returncode == 1
    assert done.stderr.startswith("This vLLM has its parser in none of vllm.entrypoints.launchers.cli_args, ")
    assert not list((tmp_path / "cache").glob("*"))
