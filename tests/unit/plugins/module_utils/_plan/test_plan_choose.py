# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layout is chosen for which model on which GPUs, and what is said when none does."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._plan.advice import advice
from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import read_architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import choose
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import GIB
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._plan.plan_helpers import chosen, group, model

# Requests at once as the examples have them: working memory grows with their number.
FEW = {"length": 8192, "max_num_seqs": 64}
TIGHT = {"max_num_seqs": 16, "utilization": 0.95}


@pytest.mark.parametrize(
    ("name", "where", "wish", "expected"),
    [
        pytest.param("phi-3-mini-4k", (2, 1, "l4"), {"length": 4096}, Layout(), id="phi3-on-l4"),
        pytest.param("mistral-7b-v0.3", (2, 1, "l4"), {"length": 8192}, Layout(), id="mistral-on-l4"),
        pytest.param("gpt-oss-20b", (1, 1, "l4"), {}, Layout(), id="gpt-oss-20b-on-24-gb"),
        pytest.param("gpt-oss-120b", (1, 1, "h100"), TIGHT, Layout(), id="gpt-oss-120b-on-80-gb"),
        pytest.param("glm-4.6v-fp8", (1, 4, "h100"), {}, Layout(gpus=2, tensor=2), id="glm-4.6v-fp8-on-160-gb"),
        pytest.param("glm-4.6v", (1, 4, "h100"), {}, Layout(gpus=4, tensor=4), id="glm-4.6v-on-320-gb"),
        pytest.param(
            "llama-4-scout",
            (1, 2, "h100"),
            {"length": 131_072, "quantization": "fp8", "max_num_seqs": 16},
            Layout(gpus=2, tensor=2),
            id="scout-in-fp8-on-160-gb",
        ),
        pytest.param(
            "glm-4.7", (2, 4, "h100"), {"quantization": "fp8"}, Layout(2, 4, 4, 2), id="glm-4.7-in-fp8-on-640-gb"
        ),
        pytest.param("qwen3-vl-235b", (2, 4, "h100"), {}, Layout(2, 4, 4, 2), id="qwen3-vl-on-640-gb"),
        pytest.param(
            "llama-4-maverick",
            (2, 4, "h100"),
            {"length": 131_072, "quantization": "fp8"},
            Layout(2, 4, 4, 2),
            id="maverick-in-fp8-on-640-gb",
        ),
        pytest.param("llama-3.1-70b", (1, 8, "l4"), FEW, Layout(gpus=8, pipeline=8), id="70b-without-nvlink"),
        pytest.param("llama-3.1-70b", (8, 1, "l4"), FEW, Layout(8, 1, 1, 8), id="70b-on-eight-nodes"),
        pytest.param("qwen3-30b-a3b-fp8", (2, 8, "l40s"), {}, Layout(), id="qwen3-30b-on-l40s"),
        pytest.param("deepseek-v2-lite", (1, 8, "l4"), {}, Layout(gpus=2, pipeline=2), id="deepseek-v2-lite-on-l4"),
    ],
)
def test_models_of_the_examples(
    name: str, where: tuple[int, int, str], wish: dict[str, t.Any], expected: Layout
) -> None:
    choice = chosen(name, group(*where), **wish)
    assert choice.fit is not None
    assert (choice.works, choice.fit.layout) == (True, expected)


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        pytest.param("llama-3.2-3b", 1, 1, id="1-3b"),
        pytest.param("mistral-7b-v0.3", 1, 1, id="7-8b"),
        pytest.param("qwen2.5-14b", 1, 1, id="13-14b"),
        pytest.param("llama-3.1-70b", 4, 2, id="70b"),
        pytest.param("llama-3.1-405b", 24, 16, id="405b"),
    ],
)
def test_published_table_of_tensor_sizes(name: str, small: int, large: int) -> None:
    """The table recommends 1, 1 or 2, 2 (1 on large GPUs), 8 and more than 16 GPUs: here on A100 with 40 and 80 GB.

    It counts headroom in; a plan takes the fewest that hold the wished requests.
    """
    for memory, expected in ((40_960, small), (81_920, large)):
        fit = chosen(name, group(4, 8, "a100", memory=memory), length=8192).fit
        assert fit is not None
        assert (fit.fits, fit.layout.world) == (True, expected)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        pytest.param("llama-3.2-3b", 1, id="1-3b"),
        pytest.param("mistral-7b-v0.3", 2, id="7-8b"),
        pytest.param("qwen2.5-14b", 2, id="13-14b"),
        pytest.param("llama-3.1-70b", 8, id="70b"),
    ],
)
def test_what_the_published_table_recommends_does_fit(name: str, tensor: int) -> None:
    fixed = {"nodes": 1, "gpus": tensor, "tensor_parallel_size": tensor}
    assert chosen(name, group(1, 8, "a100"), length=8192, fixed=fixed, concurrency=4.0).works


def test_more_headroom_takes_more_gpus() -> None:
    fit = chosen("qwen2.5-14b", group(1, 8, "a100"), length=8192, concurrency=8.0).fit
    assert fit is not None
    assert fit.layout == Layout(gpus=2, tensor=2)


def test_latent_attention_takes_copies_instead_of_cutting() -> None:
    """Eight tensor ranks would each keep the whole cache; eight copies of attention share the experts and keep a "
    "part."""
    choice = chosen("deepseek-v2-lite", group(1, 8, "h100"), fixed={"gpus": 8, "nodes": 1})
    assert choice.fit is not None
    assert choice.fit.layout == Layout(gpus=8, data=8, expert=True)
    assert choice.reasons[1].startswith("data 8, experts spread holds 7.")


def test_copies_of_a_dense_model_are_never_chosen() -> None:
    fit = chosen("mistral-7b-v0.3", group(1, 8, "h100"), fixed={"gpus": 8}).fit
    assert fit is not None
    assert fit.layout.data == 1


@pytest.mark.parametrize(
    ("name", "where", "wish", "reasons"),
    [
        pytest.param(
            "mistral-7b-v0.3",
            (2, 1, "l4"),
            {"length": 8192},
            ["1 GPU is the fewest that hold weights and cache"],
            id="one",
        ),
        pytest.param(
            "llama-3.1-70b",
            (1, 8, "l4"),
            FEW,
            [
                "8 GPUs are the fewest that hold weights and cache",
                "pipeline before tensor: l4 has no NVLink",
                "tensor 8 would hold 56,864 tokens, with more traffic; to have it: gpus 8, tensor_parallel_size 8",
            ],
            id="without-nvlink",
        ),
        pytest.param(
            "qwen3-vl-235b",
            (2, 4, "h100"),
            {},
            ["8 GPUs are the fewest that hold weights and cache", "tensor inside a node, pipeline across nodes"],
            id="across-nodes",
        ),
    ],
)
def test_reasons(name: str, where: tuple[int, int, str], wish: dict[str, t.Any], reasons: list[str]) -> None:
    assert chosen(name, group(*where), **wish).reasons == reasons


def test_blocks_of_experts_are_a_reason_to_spread_them() -> None:
    fixed = {"nodes": 1, "gpus": 8, "tensor_parallel_size": 8, "pipeline_parallel_size": 1, "data_parallel_size": 1}
    choice = chosen("qwen3-30b-a3b-fp8", group(1, 8, "h100"), fixed=fixed)
    assert choice.fit is not None
    assert choice.fit.layout == Layout(gpus=8, tensor=8, expert=True)
    assert choice.reasons[-1] == "experts spread, because cutting each of them would break its quantised blocks"


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        pytest.param(
            {"nodes": 3},
            "nodes: 3 found; allowed is at most 2, for Slurm has 2 nodes with 4 x h100 each. Give what is there, or "
            "leave "
            "the key out.",
            id="nodes",
        ),
        pytest.param({"gpus": 8}, "gpus: 8 found; allowed is at most 4", id="gpus"),
        pytest.param(
            {"tensor_parallel_size": 3},
            "tensor_parallel_size: 3 found; allowed is one of 1, 2, 4, 8, 16, 32",
            id="heads",
        ),
        pytest.param(
            {"gpus": 4, "nodes": 1, "tensor_parallel_size": 8},
            "sizes: gpus 4 x nodes 1 x tensor_parallel_size 8 found; allowed is sizes with tensor x pipeline x data = "
            "gpus x "
            "nodes. Leave one of them out.",
            id="sum",
        ),
    ],
)
def test_given_sizes_are_checked(fixed: dict[str, int], message: str) -> None:
    choice = chosen("llama-3.1-70b", group(2, 4, "h100"), fixed=fixed)
    assert not choice.works
    assert choice.problems[0].words().startswith(message)


def test_given_sizes_are_kept() -> None:
    choice = chosen("mistral-7b-v0.3", group(1, 4, "l4"), fixed={"gpus": 4, "tensor_parallel_size": 4})
    assert choice.fit is not None
    assert choice.fit.layout == Layout(gpus=4, tensor=4)
    assert choice.warnings[0].startswith("tensor_parallel_size 4 on l4, which has no NVLink")


def _advice(name: str, where: tuple[int, int, str], **wish: t.Any) -> list[str]:
    groups, asked = group(*where), Wish(**wish)
    nearest = choose(model(name), asked, None, [groups], {})
    assert not nearest.works
    return advice(model(name), asked, None, nearest, {})


@pytest.mark.parametrize(
    ("name", "where", "wish", "expected"),
    [
        pytest.param(
            "llama-3.1-70b",
            (1, 4, "l4"),
            {"length": 8192},
            [
                "quantization: fp8 fits on 4 GPUs (16.9 GiB of weights a GPU)",
                "8 GPUs on 2 nodes of type l4 fit (tensor 2 x pipeline 4), 4 more than there are",
            ],
            id="smaller-weights-or-more-gpus",
        ),
        pytest.param(
            "mistral-7b-v0.3",
            (1, 1, "l4"),
            {"length": 32_768, "concurrency": 2.0},
            [
                "kv_cache_dtype: fp8 fits on 1 GPU",
                "quantization: fp8 fits on 1 GPU (7.0 GiB of weights a GPU)",
                "2 GPUs on 2 nodes of type l4 fit (pipeline 2), 1 more than there are",
            ],
            id="smaller-cache",
        ),
        pytest.param(
            "llama-3.1-8b",
            (1, 1, "l4"),
            {},
            [
                "max_model_len: 28752 fits on 1 GPU",
                "quantization: fp8 with max_model_len: 82000 fits on 1 GPU (8.5 GiB of weights a GPU)",
                "2 GPUs on 2 nodes of type l4 fit (pipeline 2), 1 more than there are",
            ],
            id="shorter",
        ),
        pytest.param(
            "llama-4-scout",
            (1, 2, "h100"),
            {"length": 10_485_760},
            ["quantization: fp8 with max_model_len: 126672 fits on 2 GPUs (51.1 GiB of weights a GPU)"],
            id="smaller-and-shorter",
        ),
    ],
)
def test_advice(name: str, where: tuple[int, int, str], wish: dict[str, t.Any], expected: list[str]) -> None:
    assert _advice(name, where, **wish)[: len(expected)] == expected


def test_what_is_advised_does_fit() -> None:
    """Every piece of advice, taken."""
    assert chosen("llama-3.1-8b", group(1, 1, "l4"), length=28_752).works
    assert not chosen("llama-3.1-8b", group(1, 1, "l4"), length=28_768).works
    assert chosen("llama-3.1-70b", group(1, 4, "l4"), length=8192, quantization="fp8").works
    assert chosen("llama-3.1-70b", group(2, 4, "l4"), length=8192).works


def test_partitions() -> None:
    here, there = group(1, 1, "l4", partition="small"), group(1, 1, "h100", partition="big")
    found = choose(model("mistral-7b-v0.3"), Wish(length=8192, partition="big"), None, [here, there], {})
    assert found.group == there
    assert choose(model("mistral-7b-v0.3"), Wish(length=8192), None, [there, here], {}).group == here
    none = choose(model("mistral-7b-v0.3"), Wish(partition="cpu"), None, [here, there], {})
    assert [problem.words() for problem in none.problems] == [
        "partition: cpu found; allowed is one that has GPUs (Slurm has: 1 node with 1 x l4 each in partition small; "
        "1 node with 1 x h100 each in partition big). Name another partition."
    ]


def test_a_fixed_cache_stands_for_the_share() -> None:
    fit = chosen("mistral-7b-v0.3", group(1, 1, "l4"), length=8192, kv_bytes=2 * GIB).fit
    assert fit is not None
    assert fit.cache_bytes == 2 * GIB
    assert not chosen("mistral-7b-v0.3", group(1, 1, "l4"), length=8192, kv_bytes=20 * GIB, concurrency=10.0).works


def test_bfloat16_becomes_float16_where_it_must() -> None:
    assert chosen("mistral-7b-v0.3", group(1, 4, "t4"), length=4096).model.dtype == "float16"
    assert chosen("mistral-7b-v0.3", group(1, 4, "l4"), length=4096).model.dtype == "bfloat16"


def test_encoders_need_no_cache() -> None:
    bert = {"model_type": "bert", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    bert |= {"intermediate_size": 4096, "vocab_size": 30_522, "max_position_embeddings": 512}
    choice = choose(read_architecture(bert), Wish(), None, [group(1, 1, "t4")], {})
    assert choice.works
