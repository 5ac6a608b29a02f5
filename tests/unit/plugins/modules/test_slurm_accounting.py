# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import client
from ansible_collections.llmops.cluster.plugins.modules import slurm_accounting
from ansible_collections.llmops.cluster.tests.unit.module_runner import run_module
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm_accounting.fake_sacctmgr import (
    FakeSacctmgr,
)

TASKS = [task for task in yaml.safe_load(slurm_accounting.EXAMPLES) if "llmops.cluster.slurm_accounting" in task]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSacctmgr:
    fake = FakeSacctmgr(cluster="llmops", clusters=["llmops"])
    monkeypatch.setattr(slurm_accounting.AnsibleModule, "get_bin_path", lambda _module, name, **_options: f"/b/{name}")
    monkeypatch.setattr(
        client.AccountingClient.__init__,
        "__kwdefaults__",
        {
            **t.cast("dict[str, t.Any]", client.AccountingClient.__init__.__kwdefaults__),
            "runner": fake,
        },
    )
    return fake


def test_the_examples_one_after_the_other(slurm: FakeSacctmgr, capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for task in TASKS:
        options = task["llmops.cluster.slurm_accounting"]
        results.append(run_module(slurm_accounting.main, capsys, check=task.get("check_mode", False), **options))
        assert "failed" not in results[-1], results[-1]
    assert [len(result["changes"]) for result in results] == [9, 2, 6]
    assert results[1]["changes"] == ["modify account chemistry: MaxJobs=-1", "remove user alice"]
    assert results[2]["changes"][-3:] == ["remove account services", "remove qos batch", "remove qos serving"]
    first = TASKS[0]["llmops.cluster.slurm_accounting"]
    assert run_module(slurm_accounting.main, capsys, **first)["changed"] is True
    assert run_module(slurm_accounting.main, capsys, **first)["changed"] is False


def test_bad_input_fails_with_its_words(slurm: FakeSacctmgr, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module(slurm_accounting.main, capsys, cluster="llmops", users=[{"name": "bob"}])
    assert result["failed"] is True
    assert result["msg"] == (
        "users[0] (bob): it has no account, so it could run nothing. Name one in accounts, or say state: absent."
    )
    assert slurm.changes == []


def test_check_mode_before_slurm_is_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(slurm_accounting.AnsibleModule, "get_bin_path", lambda *_args, **_options: None)
    options = TASKS[0]["llmops.cluster.slurm_accounting"]
    result = run_module(slurm_accounting.main, capsys, check=True, **options)
    assert (result["changed"], len(result["changes"])) == (True, 9)


def test_users_that_the_host_does_not_have(slurm: FakeSacctmgr, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module(slurm_accounting.main, capsys, **TASKS[0]["llmops.cluster.slurm_accounting"])
    assert [warning.split(":")[0] for warning in result["warnings"]] == ["This host has no user alice, bob"]


def test_keys_left_out_are_left_alone(slurm: FakeSacctmgr, capsys: pytest.CaptureFixture[str]) -> None:
    """Ansible fills every key that is left out with null."""
    slurm.qos["normal"]["priority"] = "5"
    assert run_module(slurm_accounting.main, capsys, cluster="llmops", qos=[{"name": "normal"}])["changed"] is False


def test_a_failure_tells_what_was_done(slurm: FakeSacctmgr, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.fail_at = 1
    options = TASKS[0]["llmops.cluster.slurm_accounting"]
    result = run_module(slurm_accounting.main, capsys, **options)
    assert (result["failed"], result["changed"]) == (True, True)
    assert result["changes"] == ["add qos batch: Description=work that may wait, MaxWallDurationPerJob=1440"]
    assert result["rc"] == 1
