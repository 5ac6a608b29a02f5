# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Complete entries out of a catalogue."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.parallel import settle
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import MODEL_KEYS

MODELS: list[dict[str, t.Any]] = [
    {"name": "phi3", "model_id": "microsoft/Phi-3-mini-4k-instruct", "port": "8000", "env": {"A": "own"}},
    {"name": "mistral", "model_id": "mistralai/Mistral-7B-Instruct-v0.3", "port": 8001, "dtype": "half"},
]


def test_every_key_is_there_in_the_order_of_the_schema() -> None:
    for entry in catalogue_plan(MODELS):
        assert list(entry) == list(MODEL_KEYS)


def test_defaults_fill_what_an_entry_leaves_out() -> None:
    defaults = {"dtype": "bfloat16", "env": {"A": "default", "B": 1}, "extra_args": ["--async-scheduling"]}
    phi3, mistral = catalogue_plan(MODELS, defaults)
    assert (phi3["dtype"], mistral["dtype"]) == ("bfloat16", "half")
    assert phi3["env"] == {"A": "own", "B": "1"}
    assert phi3["extra_args"] == ["--async-scheduling"]
    assert (phi3["port"], phi3["revision"], phi3["gpus"]) == (8000, "main", 1)


def test_entries_share_nothing_with_each_other_or_the_input() -> None:
    phi3, mistral = catalogue_plan(MODELS)
    phi3["extra_args"].append("x")
    assert mistral["extra_args"] == []
    assert "extra_args" not in MODELS[0]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        pytest.param(None, ["phi3", "mistral"], id="none"),
        pytest.param([], ["phi3", "mistral"], id="empty-list"),
        pytest.param("mistral", ["mistral"], id="one"),
        pytest.param("mistral, phi3", ["phi3", "mistral"], id="catalogue-order"),
        pytest.param(["mistral", "mistral"], ["mistral"], id="twice"),
    ],
)
def test_selection(selection: t.Any, names: list[str]) -> None:
    assert [entry["name"] for entry in catalogue_plan(MODELS, {}, selection)] == names


def test_overrides_replace_keys_by_name() -> None:
    overrides = {"mistral": {"model_id": "our/mistral-int4", "max_model_len": 256}, "phi3": None}
    phi3, mistral = catalogue_plan(MODELS, {}, [], overrides)
    assert (phi3["model_id"], phi3["max_model_len"]) == ("microsoft/Phi-3-mini-4k-instruct", None)
    assert (mistral["model_id"], mistral["max_model_len"], mistral["port"]) == ("our/mistral-int4", 256, 8001)
    assert MODELS[1]["model_id"] == "mistralai/Mistral-7B-Instruct-v0.3", "the input is left as it was"


def test_problems_stop_it_with_all_messages() -> None:
    with pytest.raises(CatalogueError) as error:
        catalogue_plan([{**MODELS[0], "port": 1, "dtype": "x"}], {}, "phi3")
    assert str(error.value).startswith("Planning the models of vllm_models failed:\nvllm_models[0] (phi3): port: 1")
    assert "dtype: 'x' found" in str(error.value)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param({}, (1, 1), id="one-gpu"),
        pytest.param({"gpus": 4}, (4, 4), id="tensor-from-gpus"),
        pytest.param({"tensor_parallel_size": 4}, (4, 4), id="gpus-from-tensor"),
        pytest.param({"gpus": 8, "pipeline_parallel_size": 2}, (8, 4), id="with-pipeline"),
        pytest.param({"data_parallel_size": 2}, (2, 1), id="with-data"),
        pytest.param({"nodes": 2}, (1, 2), id="two-nodes"),
        pytest.param({"nodes": 2, "gpus": 8, "pipeline_parallel_size": 2}, (8, 8), id="pipeline-over-nodes"),
        pytest.param({"nodes": 2, "tensor_parallel_size": 8, "pipeline_parallel_size": 2}, (8, 8), id="gpus-a-node"),
    ],
)
def test_settle(sizes: dict[str, int], expected: tuple[int, int]) -> None:
    base = {
        "nodes": 1,
        "gpus": None,
        "tensor_parallel_size": None,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
    }
    settled, problem = settle({**base, **sizes})
    assert problem is None
    assert (settled["gpus"], settled["tensor_parallel_size"]) == expected
