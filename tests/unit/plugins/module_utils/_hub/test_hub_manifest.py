# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    Choice,
    Manifest,
    ModelFile,
    digest,
    invalid_name,
    safe_path,
)

NAMES = [
    "README.md",
    "config.json",
    "consolidated.safetensors",
    "evil.py",
    "model.safetensors",
    "original/params.json",
    "pytorch_model.bin",
    "tokenizer.model",
    "weights.pt",
]
FILES = tuple(ModelFile(path=name, size=1, oid="0" * 40) for name in reversed(NAMES))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        pytest.param(
            Choice(),
            ["config.json", "consolidated.safetensors", "model.safetensors", "original/params.json", "tokenizer.model"],
            id="default-leaves-out-pickles-and-code",
        ),
        pytest.param(Choice(allow=("*.bin",)), ["pytorch_model.bin"], id="pickles-when-asked-for"),
        pytest.param(Choice(allow=("original/",)), ["original/params.json"], id="folder"),
        pytest.param(
            Choice(ignore=("consolidated*", "original/")),
            ["config.json", "model.safetensors", "tokenizer.model"],
            id="ignored",
        ),
        pytest.param(Choice(allow=("*.gguf",)), [], id="nothing"),
    ],
)
def test_choice(choice: Choice, expected: list[str]) -> None:
    assert [file.path for file in choice.select(FILES)] == expected


def test_manifest_survives_being_written() -> None:
    large = ModelFile(path="m.safetensors", size=5, oid="1" * 40, sha256="a" * 64)
    here = frozenset({large.path})
    manifest = Manifest(repo_id="org/tiny", commit="2" * 40, files=(FILES[0], large), here=here)
    assert Manifest.load(manifest.dump()) == manifest
    assert (large.blob, FILES[0].blob) == ("a" * 64, "0" * 40)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "files": {}}', '{"format": 2, "files": []}', "null"]
)
def test_unknown_manifest_is_none(text: str) -> None:
    assert Manifest.load(text) is None


@pytest.mark.parametrize(
    ("repo_id", "revision", "part"),
    [
        ("org/tiny", "main", None),
        ("gpt2", "refs/pr/1", None),
        ("org/tiny", "0" * 40, None),
        ("../etc", "main", "repo_id is '../etc'"),
        ("org/../x", "main", "repo_id is 'org/../x'"),
        ("a/b/c", "main", "repo_id is 'a/b/c'"),
        ("org--x/y", "main", "repo_id is 'org--x/y'"),
        ("-rf/x", "main", "repo_id is '-rf/x'"),
        ("", "main", "repo_id is ''"),
        ("org/tiny\n", "main", "repo_id is 'org/tiny\\n'"),
        ("org/tiny", "../../x", "revision is '../../x'"),
        ("org/tiny", "a/../b", "revision is 'a/../b'"),
        ("org/tiny", "--help", "revision is '--help'"),
        ("org/tiny", "", "revision is ''"),
    ],
)
def test_names_that_must_not_become_paths(repo_id: str, revision: str, part: str | None) -> None:
    found = invalid_name(repo_id, revision)
    assert found is None if part is None else (found or "").startswith(part + "; it must be ")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("config.json", True),
        ("original/params.json", True),
        ("..data/x", True),
        ("../x", False),
        ("a/../../x", False),
        ("/etc/passwd", False),
        ("a//b", False),
        ("a/.", False),
        ("", False),
        ("a\0b", False),
        (None, False),
    ],
)
def test_names_of_files_that_must_not_become_paths(path: str, expected: bool) -> None:
    assert safe_path(path) is expected


@pytest.mark.parametrize(
    ("sha256", "expected"),
    [
        (None, "ce013625030ba8dba906f756967f9e9ca394464a"),
        ("x", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"),
    ],
    ids=["git-blob-id", "sha256"],
)
def test_digest(tmp_path: Path, sha256: str | None, expected: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert digest(path, ModelFile(path="file", size=6, oid="", sha256=sha256)) == expected
