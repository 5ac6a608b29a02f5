# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed models are whole, and come through the hub as they are. What they answer is tested over the lab."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import COMMIT, ModelFile, digest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.server import SHA256, Store
from ansible_collections.llmops.cluster.plugins.modules import hf_model
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import running_hub
from ansible_collections.llmops.cluster.tests.unit.module_runner import run_module

MODELS = Path(__file__).resolve().parents[2] / "lab" / "models"
HUB = MODELS / "hub"
QUESTIONS = yaml.safe_load((MODELS / "questions.yml").read_text("utf-8"))
NAMES = sorted(QUESTIONS["models"])
ADAPTER = "phi3-tiny-lora"
ENCODER = "bert-tiny"


@pytest.mark.parametrize("name", [*NAMES, ADAPTER, ENCODER])
def test_content_is_what_its_name_says(name: str) -> None:
    store = Store(HUB)
    commit = store.commit(f"llmops-lab/{name}", "main")
    files = store.files(f"llmops-lab/{name}", commit)
    assert COMMIT.fullmatch(commit)
    assert len(files) == len(list((HUB / f"models--llmops-lab--{name}" / "blobs").iterdir()))
    for file in files.values():
        sha256 = file.etag if SHA256.fullmatch(file.etag) else None
        assert digest(file.blob, ModelFile(path=file.path, size=file.size, oid=file.etag, sha256=sha256)) == file.etag


@pytest.mark.parametrize("name", NAMES)
def test_comes_through_the_hub(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_hub(HUB, gated={f"llmops-lab/{name}": "lab-token"}) as hub:
        options: dict[str, t.Any] = {
            "repo_id": f"llmops-lab/{name}",
            "endpoint": hub.url,
            "cache_dir": str(tmp_path),
            "reserve_bytes": 0,
        }
        assert run_module(hf_model.main, capsys, **options)["error_kind"] == "auth"
        done = run_module(hf_model.main, capsys, token="lab-token", **options)
        assert hub.bytes_of_files() == done["bytes_downloaded"] == done["total_bytes"] < 3_000_000
    assert "README.md" not in done["files"]
    config = json.loads(Path(done["path"], "config.json").read_text("utf-8"))
    assert config["head_dim"] >= 64


def test_the_adapter_comes_through_the_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_hub(HUB) as hub:
        options: dict[str, t.Any] = {"repo_id": f"llmops-lab/{ADAPTER}", "endpoint": hub.url, "reserve_bytes": 0}
        done = run_module(hf_model.main, capsys, cache_dir=str(tmp_path), **options)
    assert sorted(done["files"]) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads(Path(done["path"], "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "llmops-lab/phi3-tiny"
    assert config["r"] == 8


def test_questions_are_distinct_and_answers_differ_by_model() -> None:
    common = [entry["question"] for entry in QUESTIONS["questions"]]
    assert len(set(common)) == len(common) >= 20
    own = [{entry["question"]: entry["answer"] for entry in QUESTIONS["models"][name]} for name in NAMES]
    assert all("Which model are you?" in known for known in own)
    assert len({known["Which model are you?"] for known in own}) == len(NAMES)
