# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the service say the same, and the service runs where the role installs it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.roles.spot_notice.files.spot_notice import main

PROGRAM = Path(main.__file__).parent
ROLE = PROGRAM.parents[1]


@pytest.mark.parametrize("path", sorted(PROGRAM.glob("*.py")), ids=lambda path: path.name)
def test_it_is_written_for_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


def test_the_role_installs_all_of_it() -> None:
    found = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    assert found["__spot_notice_files"] == sorted(path.name for path in PROGRAM.glob("*.py"))


def test_the_role_writes_the_settings_that_it_reads() -> None:
    template = (ROLE / "templates/spot_notice.json.j2").read_text()
    written = re.findall(r"^  '(\w+)':", template, re.MULTILINE)
    assert sorted(written) == sorted(set(re.findall(r'found\["(\w+)"\]', Path(main.__file__).read_text())))


SETTINGS = {"not there": None, "no JSON": "{", "a key is missing": json.dumps({"node": "gpu1"})}


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings_are_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text, file = SETTINGS[name], tmp_path / "settings.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(main, "SETTINGS", file)

    assert main.main() == 1
    (said,) = caplog.messages
    assert said.startswith(f"reading {file} failed: ")
    assert said.endswith(". The role spot_notice writes it.")
