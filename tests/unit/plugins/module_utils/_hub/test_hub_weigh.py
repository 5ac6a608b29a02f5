# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model weighs: which files count, and where they are looked at."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import HubClient
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.weigh import (
    disk_rate,
    in_cache,
    on_hub,
    weight_files,
)
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    FILES,
    MAIN,
    REPO,
    WEIGHTS,
    running_hub,
    write_repo,
)

INDEX = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
INDEXED = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    ).encode(),
    "m-1.safetensors": b"1" * 1000,
    "m-2.safetensors": b"2" * 2000,
    "consolidated.safetensors": b"3" * 3000,
}


@pytest.mark.parametrize(
    ("sizes", "index", "expected"),
    [
        pytest.param(
            {"model-1.safetensors": 1, "model-2.safetensors": 2, "consolidated.safetensors": 3},
            {"weight_map": {"x": "model-1.safetensors", "y": "model-2.safetensors"}},
            3,
            id="index",
        ),
        pytest.param({"model.safetensors": 1, "consolidated.safetensors": 3}, None, 1, id="without-the-second-copy"),
        pytest.param({"model.safetensors": 1, "original/x.safetensors": 3}, None, 1, id="without-folders"),
        pytest.param({"pytorch_model.bin": 4, "config.json": 1}, None, 4, id="pickled"),
        pytest.param({"model.safetensors": 1, "pytorch_model.bin": 4}, None, 1, id="safetensors-first"),
        pytest.param({"config.json": 1}, None, 0, id="none"),
        pytest.param({"model.safetensors": 1}, {"weight_map": 5}, 1, id="index-that-is-none"),
    ],
)
def test_files_that_count(sizes: dict[str, int], index: t.Any, expected: int) -> None:
    assert sum(weight_files(sizes, index).values()) == expected


def test_in_a_cache(tmp_path: Path) -> None:
    write_repo(tmp_path, REPO, MAIN, INDEXED, refs=("main",))
    found = in_cache(tmp_path, REPO, "main")
    assert found is not None
    assert (found.commit, found.config, found.weights_bytes) == (MAIN, {"model_type": "llama"}, 3000)
    assert found.largest == "m-2.safetensors"
    assert in_cache(tmp_path, REPO, "0" * 40) is None
    assert in_cache(tmp_path, "org/other", "main") is None


def test_on_a_hub_only_small_files_are_read(tmp_path: Path) -> None:
    write_repo(tmp_path, REPO, MAIN, INDEXED, refs=("main",))
    with running_hub(tmp_path) as hub:
        found = on_hub(HubClient(endpoint=hub.url, token=None), REPO, "main")
        assert (found.commit, found.weights_bytes) == (MAIN, 3000)
        assert hub.bytes_of_files() == len(INDEXED["config.json"]) + len(INDEXED["model.safetensors.index.json"])


def test_a_hub_without_a_configuration(tmp_path: Path) -> None:
    write_repo(tmp_path, REPO, MAIN, {"model.safetensors": WEIGHTS}, refs=("main",))
    with running_hub(tmp_path) as hub, pytest.raises(HubError) as error:
        on_hub(HubClient(endpoint=hub.url, token=None), REPO, "main")
    assert error.value.message == (
        "Reading config.json of org/tiny failed: the repository has none. Check model_id and revision."
    )


def test_disk_rate(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(WEIGHTS)
    times = iter([10.0, 12.0])
    assert disk_rate(path, 1024 * 1024, clock=lambda: next(times)) == 0.5
    (tmp_path / "empty").touch()
    assert disk_rate(tmp_path / "empty", 1024) is None


def test_a_configuration_that_is_no_object(tmp_path: Path) -> None:
    write_repo(tmp_path, REPO, MAIN, {**FILES, "config.json": b"[]"}, refs=("main",))
    with pytest.raises(ValueError, match="config.json holds no object"):
        in_cache(tmp_path, REPO, "main")
