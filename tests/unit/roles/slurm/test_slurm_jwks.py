# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "slurm" / "files" / "slurm_jwks.py"
_spec = importlib.util.spec_from_file_location("slurm_jwks", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
jwks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(jwks)


def keys(text: str) -> list[dict[str, object]]:
    """`a:100 b:200* c:300`: names, times, and * at the one that signs."""
    found: list[dict[str, object]] = []
    for word in text.split():
        name, since = word.rstrip("*").split(":")
        found.append({"kid": name, "iat": int(since)} | ({"use": "default"} if word.endswith("*") else {}))
    return found


def text(found: list[dict[str, object]]) -> str:
    return " ".join(f"{key['kid']}:{key['iat']}{'*' if 'use' in key else ''}" for key in found)


@pytest.mark.parametrize(
    ("before", "oldest_job", "after"),
    [
        pytest.param("a:100*", None, "a:100* n:900", id="first rotation"),
        pytest.param("a:100*", 150, "a:100* n:900", id="first rotation under a job"),
        pytest.param("a:100 b:500*", None, "b:500* n:900", id="no job runs: the old key goes"),
        pytest.param("a:100 b:500*", 600, "b:500* n:900", id="all jobs began under the present key"),
        pytest.param("a:100 b:500*", 300, "a:100 b:500* n:900", id="a job began under the old key: it stays"),
        pytest.param("a:100 b:500*", 500, "a:100 b:500* n:900", id="in the second of the change: it stays"),
        pytest.param("a:100* b:700", None, "a:100* b:700", id="interrupted: the staged key is taken"),
        pytest.param("a:100 b:500* c:700", 300, "a:100 b:500* c:700", id="interrupted with an old key"),
    ],
)
def test_stage(before: str, oldest_job: int | None, after: str) -> None:
    assert text(jwks.stage(keys(before), {"kid": "n", "iat": 900}, oldest_job)) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a:100* b:700", "a:100 b:950*", id="the staged key signs, from now on"),
        pytest.param("a:100 b:500* c:700", "a:100 b:500 c:950*", id="with an old key"),
        pytest.param("a:100 b:700*", "a:100 b:700*", id="nothing staged"),
    ],
)
def test_promote(before: str, after: str) -> None:
    assert text(jwks.promote(keys(before), 950)) == after


def call(path: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, SCRIPT, path, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_file_through_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "slurm.jwks"
    assert call(path, "make") == "changed"
    assert call(path, "make") == ""
    (first,) = json.loads(path.read_text())["keys"]
    assert oct(path.stat().st_mode) == "0o100600"
    assert (first["alg"], first["kty"], first["use"]) == ("HS256", "oct", "default")
    assert len(base64.urlsafe_b64decode(first["k"])) == 64
    assert call(path, "stage") == "changed"
    assert call(path, "stage") == ""
    assert call(path, "status") == '{"keys": 2, "staged": true}'
    assert call(path, "promote") == "changed"
    assert call(path, "promote") == ""
    old, new = json.loads(path.read_text())["keys"]
    assert (old["kid"], old["k"], "use" in old, new["use"]) == (first["kid"], first["k"], False, "default")
    assert old["k"] != new["k"]
    assert old["kid"] != new["kid"]
    assert oct(path.stat().st_mode) == "0o100600"
