# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json says: sizes against the published ones, lengths, kinds of layers, and bad files."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import read_architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.weights import Weights, checkpoint_weights
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._plan.plan_helpers import FOLDER, config, model

# Thousand millions of parameters, as published: with the draft layers of those that have some.
PUBLISHED = {
    "deepseek-v2-lite": 15.71,
    "glm-4.6v": 107.7,
    "glm-4.6v-fp8": 107.7,
    "glm-4.7": 358.3,
    "glm-4.7-flash": 31.2,
    "gpt-oss-120b": 116.83,
    "gpt-oss-20b": 20.91,
    "llama-3.1-405b": 405.9,
    "llama-3.1-70b": 70.55,
    "llama-3.1-8b": 8.03,
    "llama-3.2-3b": 3.213,
    "llama-4-maverick": 401.6,
    "llama-4-scout": 108.6,
    "mistral-7b-v0.3": 7.248,
    "phi-3-mini-4k": 3.821,
    "qwen1.5-moe-a2.7b": 14.3,
    "qwen2-57b-a14b": 57.4,
    "qwen2.5-14b": 14.77,
    "qwen2.5-7b": 7.616,
    "qwen3-0.6b": 0.596,
    "qwen3-235b-a22b-fp8": 235.1,
    "qwen3-30b-a3b-fp8": 30.53,
    "qwen3-vl-235b": 235.7,
}
# Gigabytes of the files of quantised checkpoints, as their repositories list them.
STORED = {"gpt-oss-20b": 13.8, "gpt-oss-120b": 65.2, "qwen3-30b-a3b-fp8": 31.2}


def test_every_fixture_has_a_published_size() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameters_are_the_published_ones(name: str) -> None:
    found = Weights(model(name), None, 2).stored() / 2e9
    assert found == pytest.approx(PUBLISHED[name], rel=0.003)


@pytest.mark.parametrize("name", sorted(STORED))
def test_quantised_files_have_the_published_size(name: str) -> None:
    assert checkpoint_weights(model(name), None).stored() / 1e9 == pytest.approx(STORED[name], rel=0.01)


def test_the_size_of_the_files_corrects_the_arithmetic() -> None:
    weights = checkpoint_weights(model("mistral-7b-v0.3"), 15_000_000_000)
    assert weights.stored() == 15_000_000_000
    assert weights.factor == pytest.approx(15 / 14.496, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        pytest.param("phi-3-mini-4k", 4096, id="plain"),
        pytest.param("llama-3.1-70b", 131072, id="llama3-scaling-is-in-the-number"),
        pytest.param("gpt-oss-20b", 131072, id="yarn-from-its-original-length"),
        pytest.param("deepseek-v2-lite", 163840, id="yarn-by-its-old-name"),
        pytest.param("llama-4-scout", 10485760, id="inside-text-config"),
    ],
)
def test_length(name: str, length: int) -> None:
    assert model(name).max_length == length


@pytest.mark.parametrize(
    ("name", "changes", "kinds"),
    [
        pytest.param("mistral-7b-v0.3", {}, {"full": 32}, id="full"),
        pytest.param("gpt-oss-20b", {}, {"full": 12, "sliding": 12}, id="named-layers"),
        pytest.param("phi-3-mini-4k", {}, {"sliding": 32}, id="window-of-all-layers"),
        pytest.param("qwen2.5-7b", {}, {"full": 28}, id="window-that-is-off"),
        pytest.param("qwen3-0.6b", {"sliding_window": 64}, {"full": 28}, id="window-without-named-layers"),
        pytest.param("llama-4-scout", {}, {"full": 48}, id="chunks-have-full-pages"),
        pytest.param(
            "mistral-7b-v0.3",
            {"sliding_window": 512, "sliding_window_pattern": 4},
            {"full": 8, "sliding": 24},
            id="pattern",
        ),
        pytest.param(
            "mistral-7b-v0.3",
            {"layer_types": ["linear_attention"] * 24 + ["full_attention"] * 8},
            {"full": 8, "stateless": 24},
            id="linear",
        ),
        pytest.param("mistral-7b-v0.3", {"model_type": "bert"}, {"stateless": 32}, id="encoder"),
    ],
)
def test_kinds_of_layers(name: str, changes: dict[str, t.Any], kinds: dict[str, int]) -> None:
    found = model(name, **changes).attention
    assert {kind: found.count(kind) for kind in set(found)} == kinds


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        pytest.param("deepseek-v2-lite", 26, id="first-dense"),
        pytest.param("glm-4.7", 89, id="three-dense"),
        pytest.param("llama-4-maverick", 24, id="every-second"),
        pytest.param("llama-4-scout", 48, id="all"),
        pytest.param("qwen3-30b-a3b-fp8", 48, id="all-by-step"),
    ],
)
def test_layers_with_experts(name: str, layers: int) -> None:
    experts = model(name).experts
    assert experts is not None
    assert len(experts.layers) == layers


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param([], "it holds a list, not an object", id="list"),
        pytest.param({"hidden_size": 64}, "none of num_hidden_layers, n_layer, num_layers is there", id="no-layers"),
        pytest.param(
            {**config("qwen3-0.6b"), "num_attention_heads": 0},
            "layers, width and heads must be at least 1",
            id="no-heads",
        ),
        pytest.param(
            {**config("qwen3-0.6b"), "vocab_size": "many"},
            "none of vocab_size is there. Plan this model",
            id="no-number",
        ),
    ],
)
def test_bad_files(found: t.Any, message: str) -> None:
    with pytest.raises(PlanError) as error:
        read_architecture(found)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("qwen3-30b-a3b-fp8", ("fp8", 8.0, (128, 128), True), id="block-fp8"),
        pytest.param("gpt-oss-20b", ("mxfp4", 4.25, None, False), id="mxfp4-experts-only"),
        pytest.param("glm-4.6v-fp8", ("compressed-tensors", 8.0, None, True), id="compressed-tensors"),
    ],
)
def test_quantization(name: str, expected: tuple[t.Any, ...]) -> None:
    found = model(name).quantization
    assert found is not None
    assert (found.method, found.bits, found.block, found.attention) == expected


def test_awq_counts_its_scales() -> None:
    quantization = {"quant_method": "awq", "bits": 4, "group_size": 128}
    found = model("llama-3.1-70b", quantization_config=quantization).quantization
    assert found is not None
    assert (found.bits, found.group) == (4 + 20 / 128, 128)
