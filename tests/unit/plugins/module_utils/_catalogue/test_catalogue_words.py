# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quoting of words for bash and for #SBATCH lines."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.words import sbatch_value, sh_lines, sh_word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("plain-1.5_x", "plain-1.5_x", id="plain"),
        pytest.param("", "''", id="empty"),
        pytest.param("a b", "'a b'", id="blank"),
        pytest.param("$(touch x)", "'$(touch x)'", id="command"),
        pytest.param("it's", "'it'\"'\"'s'", id="single-quote"),
        pytest.param("a\nb", "$'a\\nb'", id="line-break"),
        pytest.param("'\\\t\x01f", "$'\\'\\\\\\t\\x01f'", id="control-characters"),
        pytest.param("größe", "'größe'", id="unicode"),
        pytest.param(8000, "8000", id="number"),
    ],
)
def test_sh_word(text: object, word: str) -> None:
    assert sh_word(text) == word
    shown = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True)
    assert shown.stdout == str(text)


def test_sh_word_refuses_nul() -> None:
    with pytest.raises(CatalogueError, match="holds a NUL byte"):
        sh_word("a\0b")


def test_sh_lines_begins_a_line_at_each_long_option() -> None:
    words = ["vllm", "serve", "m", "--port", "80", "--names", "a b", "c"]
    assert sh_lines(words) == ["vllm serve m", "--port 80", "--names 'a b' c"]


@pytest.mark.parametrize("value", ["a b", "x#y", 'q"', "a\nb", "", "$(x)", "ü"])
def test_sbatch_value_refuses_what_a_line_cannot_carry(value: str) -> None:
    with pytest.raises(CatalogueError, match="Writing '#SBATCH --partition' failed"):
        sbatch_value("partition", value)


def test_sbatch_value_passes_paths_with_patterns() -> None:
    assert sbatch_value("output", "/home/vllm/out_%j.out") == "/home/vllm/out_%j.out"
