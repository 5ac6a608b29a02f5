# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the program say the same, and which disks its pattern finds."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme import main
from ansible_collections.llmops.cluster.roles.local_nvme.files.local_nvme.disks import Disks

PROGRAM = Path(main.__file__).parent
ROLE = PROGRAM.parents[1]
VARIABLES = yaml.safe_load((ROLE / "vars/main.yml").read_text())


@pytest.mark.parametrize("path", sorted(PROGRAM.glob("*.py")), ids=lambda path: path.name)
def test_it_is_written_for_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


def test_the_role_installs_all_of_it() -> None:
    assert VARIABLES["__local_nvme_files"] == sorted(path.name for path in PROGRAM.glob("*.py"))


def test_the_role_writes_the_settings_that_it_reads() -> None:
    template = (ROLE / "templates/local_nvme.json.j2").read_text()
    written = re.findall(r"^  '(\w+)':", template, re.MULTILINE)
    assert sorted(written) == sorted(set(re.findall(r'found\["(\w+)"\]', Path(main.__file__).read_text())))


def test_the_drain_for_the_night_is_one_that_passes() -> None:
    night = yaml.safe_load((ROLE.parent / "aws_cluster/vars/main.yml").read_text())["__aws_cluster_drain_reason"]
    assert night.startswith(VARIABLES["__local_nvme_passing"][0])


def test_each_local_disk_is_found_once_and_no_other(tmp_path: Path) -> None:
    pattern = str(tmp_path / Path(yaml.safe_load((ROLE / "defaults/main.yml").read_text())["local_nvme_disks"]).name)
    for number in range(3):
        (tmp_path / f"nvme{number}n1").touch()
    links = {
        "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0": "nvme0n1",
        "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0-part1": "nvme0n1",
        "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS11111111111111111": "nvme1n1",
        "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS11111111111111111_1": "nvme1n1",
        "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS22222222222222222": "nvme2n1",
        "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS22222222222222222-part1": "nvme2n1",
        "nvme-nvme.1d0f-4157533131-416d617a6f6e20454332-00000001": "nvme1n1",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    assert Disks(pattern, "/opt/models").paths() == [str(tmp_path / "nvme1n1"), str(tmp_path / "nvme2n1")]


SETTINGS = {"not there": None, "no JSON": "{", "a key is missing": json.dumps({"node": "gpu1"})}


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings_are_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text, file = SETTINGS[name], tmp_path / "settings.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(main, "SETTINGS", file)

    assert main.main(["look"]) == 1
    (said,) = caplog.messages
    assert said.startswith(f"reading {file} failed: ")
    assert said.endswith(". The role local_nvme writes it.")


@pytest.mark.parametrize("arguments", [[], ["down"], ["look", "up"]])
def test_another_command_is_refused(arguments: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert main.main(arguments) == 2
    assert caplog.messages == ["usage: local-nvme look|up|ready"]
