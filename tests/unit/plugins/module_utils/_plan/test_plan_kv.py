# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: bytes of a token, blocks, tokens and requests, against published tables and what vLLM itself reports."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import read_architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import choose
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import GIB
from ansible_collections.llmops.cluster.plugins.module_utils._plan.kv import (
    CacheOptions,
    cache_of,
    element_bytes,
    longest,
    request_blocks,
    token_bytes,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout, stages
from ansible_collections.llmops.cluster.plugins.module_utils._plan.weights import Weights
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._plan.plan_helpers import chosen, group, model

MEASURED = json.loads((Path(__file__).parents[3] / "fixtures" / "vllm-0.32.0-cpu" / "small-models.json").read_text())


@pytest.mark.parametrize(
    ("name", "tensor", "size", "expected"),
    [
        pytest.param("phi-3-mini-4k", 1, 2, 32 * 2 * 32 * 96 * 2, id="all-heads"),
        pytest.param("mistral-7b-v0.3", 1, 2, 131_072, id="grouped-heads"),
        pytest.param("llama-3.1-70b", 8, 2, 40_960, id="grouped-heads-cut-in-eight"),
        pytest.param("qwen3-30b-a3b-fp8", 8, 2, 48 * 2 * 128 * 2, id="more-gpus-than-heads"),
        pytest.param("deepseek-v2-lite", 1, 2, 31_104, id="latent"),
        pytest.param("deepseek-v2-lite", 8, 2, 31_104, id="latent-is-not-cut"),
        pytest.param("mistral-7b-v0.3", 1, 1, 65_536, id="fp8"),
    ],
)
def test_bytes_of_a_token(name: str, tensor: int, size: int, expected: int) -> None:
    assert token_bytes(model(name), tensor, size) * model(name).layers == expected


@pytest.mark.parametrize(
    ("asked", "dtype", "expected"),
    [
        pytest.param("auto", "bfloat16", 2, id="as-the-weights"),
        pytest.param("auto", "float32", 4, id="single"),
        pytest.param("fp8", "bfloat16", 1, id="fp8"),
        pytest.param("fp8_e5m2", "bfloat16", 1, id="fp8-e5m2"),
        pytest.param("bfloat16", "float32", 2, id="said"),
    ],
)
def test_bytes_of_a_number(asked: str, dtype: str, expected: int) -> None:
    assert element_bytes(asked, model("mistral-7b-v0.3"), dtype) == expected


@pytest.mark.parametrize(
    ("block", "blocks", "tokens"),
    [pytest.param(16, 7, 112, id="16"), pytest.param(64, 2, 128, id="64")],
)
def test_a_request_of_100_tokens_takes_whole_blocks(block: int, blocks: int, tokens: int) -> None:
    """The published table: 12 % of a request of 100 tokens is wasted in blocks of 16, 28 % in blocks of 64."""
    found = request_blocks(model("mistral-7b-v0.3"), CacheOptions(100, 2, block))
    assert (found, found * block) == (blocks, tokens)


def test_published_budget_of_an_80_gb_gpu() -> None:
    """80 GB x 0.90 - 14 GB of weights - 2 GB of activations = 56 GB. Its 45,000 tokens are those of a smaller GPU."""
    room = 80e9 * 0.90 - 14e9 - 2e9
    assert room == 56e9
    cache = cache_of(model("mistral-7b-v0.3"), Layout(), CacheOptions(512, 2), [room])
    assert cache.tokens(512) == pytest.approx(427_000, rel=0.01)
    # That text shows a log with 45,322 tokens and does not name its GPU: the same model on an L4 comes to nearly that.
    fit = chosen("mistral-7b-v0.3", group(1, 1, "l4"), length=512, max_num_seqs=256).fit
    assert fit is not None
    assert fit.tokens == pytest.approx(45_322, rel=0.02)
    assert round(45_322 / 512) == 89


def test_layers_that_forget_share_pages_in_groups() -> None:
    """GPT-OSS 20B: a request of full length needs a full table for 12 layers, and a short one for the 12 that "
    "forget."""
    found, options = model("gpt-oss-20b"), CacheOptions(131_072, 2, batched_tokens=2048)
    short = (128 - 1 + 2 * 2048 + 15) // 16 + 1
    assert request_blocks(found, options) == 131_072 // 16 + short
    room = 8192 * 12 * 16 * 2 * 8 * 64 * 2
    assert cache_of(found, Layout(), options, [room]).blocks == 8192
    together = CacheOptions(131_072, 2, mixed=False)
    assert cache_of(found, Layout(), together, [room]).blocks == 4096


@pytest.mark.parametrize(
    ("full", "sliding", "expected"),
    [
        pytest.param(10, 20, (10, 3), id="one-to-two"),
        pytest.param(12, 13, (13, 2), id="nearly-even-is-padded"),
        pytest.param(4, 23, (4, 7), id="last-group-not-full"),
    ],
)
def test_groups_of_mixed_layers(full: int, sliding: int, expected: tuple[int, int]) -> None:
    kinds = ["full_attention"] * full + ["sliding_attention"] * sliding
    found = model("mistral-7b-v0.3", num_hidden_layers=full + sliding, layer_types=kinds, sliding_window=64)
    size, groups = expected
    # A page of 16 tokens has 65,536 bytes; with a length of one block every group needs one, sliding ones two.
    cache = cache_of(found, Layout(), CacheOptions(16, 2, batched_tokens=1), [size * 65_536])
    assert cache.blocks == 1
    number_full = -(-full // size)
    assert cache.blocks_a_request == number_full + 2 * (groups - number_full)


@pytest.mark.parametrize(
    ("layers", "pipeline", "expected"),
    [
        pytest.param(80, 8, [10] * 8, id="even"),
        pytest.param(61, 4, [15, 15, 16, 15], id="one-left"),
        pytest.param(27, 2, [14, 13], id="two-stages"),
        pytest.param(94, 4, [23, 24, 24, 23], id="two-left"),
    ],
)
def test_stages_as_vllm_cuts_them(layers: int, pipeline: int, expected: list[int]) -> None:
    assert [len(part) for part in stages(layers, pipeline)] == expected


def test_the_fullest_stage_decides() -> None:
    found, options = model("mistral-7b-v0.3"), CacheOptions(4096, 2)
    even = cache_of(found, Layout(1, 2, 1, 2), options, [GIB, GIB])
    assert cache_of(found, Layout(1, 2, 1, 2), options, [GIB, GIB / 2]).blocks == even.blocks // 2


def test_longest_request() -> None:
    found, options = model("mistral-7b-v0.3"), CacheOptions(32_768, 2)
    most = longest(found, Layout(), options, [GIB])
    assert most == (GIB // (131_072 * 16) - 1) * 16
    assert longest(found, Layout(), options, [0.0]) == 0


def _measured_id(one: dict[str, t.Any]) -> str:
    return str(one["name"])


@pytest.mark.parametrize("one", MEASURED, ids=_measured_id)
def test_tokens_and_requests_that_vllm_reported(one: dict[str, t.Any]) -> None:
    """vLLM 0.32.0 on a CPU with 64 MiB of cache and requests of 1,024 tokens."""
    found = read_architecture(one["config"])
    cache = cache_of(found, Layout(), CacheOptions(1024, 2, one["block"]), [64 * 2**20])
    assert (cache.tokens(1024), round(cache.concurrency(), 4)) == (one["tokens"], one["concurrency"])


@pytest.mark.parametrize("one", MEASURED, ids=_measured_id)
def test_weights_that_vllm_loaded(one: dict[str, t.Any]) -> None:
    """Bytes of all parameters of the model that vLLM built: within 1 %, biases and norms of heads being left out."""
    weights = Weights(read_architecture(one["config"]), None, 2)
    assert weights.total() == pytest.approx(one["param_bytes"], rel=0.01)


def test_weights_of_public_logs() -> None:
    """GPT-OSS 120B on an H100: 64.38 GiB by one kernel (vllm#33155), 65.97 by another that pads more (vllm#23278)."""
    fit = chosen("gpt-oss-120b", group(1, 1, "h100")).fit
    assert fit is not None
    assert fit.weights / GIB == pytest.approx(64.38, rel=0.005)
    assert fit.weights / GIB == pytest.approx(65.97, rel=0.025)


@pytest.mark.parametrize(
    ("name", "where", "wish", "room"),
    [
        pytest.param("gpt-oss-120b", (1, 1, "h100"), {}, -2.14, id="vllm-23278"),
        pytest.param(
            "gpt-oss-120b", (1, 1, "h100"), {"utilization": 0.95, "batched_tokens": 1024}, 1.71, id="vllm-27508"
        ),
        pytest.param("qwen3-235b-a22b-fp8", (1, 4, "h100"), {}, 8.11, id="vllm-21348"),
    ],
)
def test_room_of_public_logs(name: str, where: tuple[int, int, str], wish: dict[str, t.Any], room: float) -> None:
    """GiB of available cache in users' logs, by their report. The constants of fit.py were set by these three."""
    fixed = {"nodes": 1, "gpus": where[1], "tensor_parallel_size": where[1]}
    fit = chosen(name, group(*where), fixed=fixed, **wish).fit
    assert fit is not None
    assert fit.cache_bytes / GIB == pytest.approx(room, abs=1.0)


def test_a_public_log_that_the_estimate_misses_on_the_safe_side() -> None:
    """120.53 GiB were available on a GPU of 141 GB for a model of 28,672 bytes a token, as Qwen2.5 1.5B has; how many
    requests at once it was started with is not known."""
    small = {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12}
    small |= {"num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True}
    found = model("qwen2.5-7b", **small)
    fit = choose(found, Wish(), None, [group(1, 1, "h200")], {}).fit
    assert fit is not None
    assert 117 < fit.cache_bytes / GIB < 120.53
