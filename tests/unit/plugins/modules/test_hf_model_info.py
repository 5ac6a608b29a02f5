# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hf_model_info: a cache, a hub, and models that are nowhere."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.modules import hf_model_info
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    FILES,
    MAIN,
    REPO,
    WEIGHTS,
    running_hub,
    write_repo,
)
from ansible_collections.llmops.cluster.tests.unit.module_runner import run_module

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(**options: t.Any) -> dict[str, t.Any]:
        entry = {"name": "tiny", "model_id": REPO, "revision": "main", "port": 8000}
        return run_module(hf_model_info.main, capsys, **{"models": [entry], "cache_dir": str(tmp_path), **options})

    return runner


def test_from_the_cache(tmp_path: Path, run: Run) -> None:
    write_repo(tmp_path, REPO, MAIN, FILES, refs=("main",))
    result = run(measure_mib=1)
    rate = result["models"]["tiny"].pop("mib_per_second")
    assert rate > 0
    assert result == {
        "changed": False,
        "failures": {},
        "models": {
            "tiny": {
                "commit": MAIN,
                "config": {"architectures": ["LlamaForCausalLM"]},
                "source": "cache",
                "weights_bytes": len(WEIGHTS),
            }
        },
        "warnings": [],
    }


def test_from_the_hub(tmp_path: Path, run: Run) -> None:
    write_repo(tmp_path / "served", REPO, MAIN, FILES, refs=("main",))
    with running_hub(tmp_path / "served") as hub:
        result = run(endpoint=hub.url, cache_dir=str(tmp_path / "empty"), check=True)
    assert result["models"]["tiny"]["source"] == "hub"
    assert result["models"]["tiny"]["mib_per_second"] is None


@pytest.mark.parametrize(
    ("options", "failure"),
    [
        pytest.param({}, "{root} does not have it, and no endpoint is given", id="nowhere"),
        pytest.param(
            {"models": [{"name": "tiny", "model_id": "../x"}]},
            "repo_id is '../x'; it must be organisation/name of letters, digits, '.', '_' and single '-'.",
            id="bad-name",
        ),
        pytest.param(
            {"endpoint": "http://127.0.0.1:9"},
            "Reading revision main of org/tiny from http://127.0.0.1:9 failed: ",
            id="no-hub",
        ),
    ],
)
def test_what_is_nowhere(tmp_path: Path, run: Run, options: dict[str, t.Any], failure: str) -> None:
    result = run(**options)
    assert result["models"] == {}
    assert result["failures"]["tiny"].startswith(failure.format(root=tmp_path))


def test_a_file_that_is_no_json(tmp_path: Path, run: Run) -> None:
    write_repo(tmp_path, REPO, MAIN, {**FILES, "config.json": b"<html>"}, refs=("main",))
    failure = run()["failures"]["tiny"]
    assert failure.startswith("Reading config.json of org/tiny failed: Expecting value")
    assert failure.endswith("Check the files of the repository.")
