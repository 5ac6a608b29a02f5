# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup that packs programs."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible_collections.llmops.cluster.plugins.lookup import program


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program.constants, "DEFAULT_LOCAL_TMP", str(tmp_path), raising=False)


def test_a_program_is_one_file_in_ansibles_own_folder(tmp_path: Path) -> None:
    first, second = program.LookupModule().run(["_manager", "_manager"])
    assert first == second
    assert Path(first).parent == tmp_path
    assert "__main__.py" in zipfile.ZipFile(first).namelist()


def test_its_sum_alone(tmp_path: Path) -> None:
    (path,) = program.LookupModule().run(["_manager"])
    expected = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    Path(path).unlink()
    assert program.LookupModule().run(["_manager"], sha256=True) == [expected]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_program() -> None:
    with pytest.raises(AnsibleLookupError, match=r"Packing _none failed: '_none' is no package with a main\.py in "):
        program.LookupModule().run(["_none"])
