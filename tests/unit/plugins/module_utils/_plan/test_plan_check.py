# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Combinations that crash or hang, each with key, found, allowed and what to do."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._plan.check import (
    gpu_problems,
    layout_problems,
    layout_warnings,
    tensor_sizes,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import gpu_of
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._plan.plan_helpers import model

REFUSED: list[t.Any] = [
    pytest.param(
        "qwen2.5-7b",
        Layout(gpus=8, tensor=8),
        {},
        [
            "tensor_parallel_size: 8 found; allowed is one of 1, 2, 4, 28, which cut the model's 28 attention heads "
            "and 4 "
            "key-value heads evenly. Cut the rest of the GPUs with pipeline_parallel_size."
        ],
        id="heads",
    ),
    pytest.param(
        "glm-4.7-flash",
        Layout(gpus=8, tensor=8),
        {},
        [
            "tensor_parallel_size: 8 found; allowed is one of 1, 2, 4, 5, 10, 20, which cut the model's 20 attention "
            "heads "
            "evenly. Cut the rest of the GPUs with pipeline_parallel_size."
        ],
        id="heads-of-latent-attention",
    ),
    pytest.param(
        "qwen3-0.6b",
        Layout(gpus=29, pipeline=29),
        {},
        [
            "pipeline_parallel_size: 29 found; allowed is at most 28, the layers of the model. Use fewer stages, or "
            "tensor_parallel_size."
        ],
        id="stages",
    ),
    pytest.param(
        "qwen3-30b-a3b-fp8",
        Layout(gpus=8, tensor=8),
        {},
        [
            "tensor_parallel_size: 8 found; allowed is 1 or 2 or 3 or 6: experts are 768 wide, quantised in blocks of "
            "128, "
            "and 768/8 is no multiple of 128. Or set expert_parallel: true, which leaves each expert whole."
        ],
        id="blocks-of-experts",
    ),
    pytest.param("qwen3-30b-a3b-fp8", Layout(gpus=8, tensor=8, expert=True), {}, [], id="experts-left-whole"),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(gpus=8, tensor=8, expert=True),
        {},
        ["expert_parallel: true found; allowed is false: this model has no experts. Leave the key out."],
        id="experts-of-a-dense-model",
    ),
    pytest.param(
        "gpt-oss-20b",
        Layout(),
        {"words": ("--enable-eplb",)},
        [
            "extra_args: --enable-eplb found; allowed is expert_parallel: true beside it. Set the key, or leave the "
            "option "
            "out."
        ],
        id="balancing-without-experts-spread",
    ),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(gpus=2, tensor=2),
        {"backend": "rpc"},
        [
            "backend: rpc found; allowed is mp, or rpc with data_parallel_size of at least 2. Remote calls join data "
            "parallel copies."
        ],
        id="rpc-without-copies",
    ),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(gpus=2, data=2),
        {"words": ("--data-parallel-external-lb",)},
        [
            "extra_args: --data-parallel-external-lb found; allowed is internal balancing: the engine refuses outside "
            "balancing for a model without experts. Use replicas: each is a server and a job of its own."
        ],
        id="outside-balancing-of-a-dense-model",
    ),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(nodes=2, gpus=1, data=2),
        {"backend": "rpc", "balancing": "external"},
        [
            "data_parallel_balancing: external found; allowed is internal: the engine refuses outside balancing for a "
            "model without experts. Use replicas: each is a server and a job of its own."
        ],
        id="outside-balancing-by-the-key",
    ),
    pytest.param(
        "mistral-7b-v0.3", Layout(nodes=2, gpus=1, data=2), {"backend": "rpc"}, [], id="inside-balancing-by-the-key"
    ),
    pytest.param(
        "gpt-oss-20b",
        Layout(nodes=2, gpus=1, data=2, expert=True),
        {"backend": "rpc", "balancing": "external"},
        [],
        id="outside-balancing-of-experts",
    ),
    pytest.param(
        "gpt-oss-20b",
        Layout(gpus=2, data=2, expert=True),
        {"words": ("--data-parallel-start-rank", "0")},
        [
            "extra_args: --data-parallel-start-rank found; allowed is the keys data_parallel_size and nodes. Without "
            "--headless it silently changes how requests are balanced."
        ],
        id="start-rank",
    ),
    pytest.param(
        "gpt-oss-20b",
        Layout(nodes=2, gpus=3, data=3, tensor=2),
        {},
        [
            "data_parallel_size: 3 found; allowed is a multiple or a divisor of nodes, 2. Each node must run the same "
            "number "
            "of copies, or each copy the same number of nodes."
        ],
        id="copies-over-nodes",
    ),
    pytest.param(
        "phi-3-mini-4k",
        Layout(),
        {"length": 8192},
        [
            "max_model_len: 8192 found; allowed is at most 4096, what the model's config.json gives. The engine ends "
            "at its "
            "start with more."
        ],
        id="length",
    ),
    pytest.param(
        "phi-3-mini-4k",
        Layout(),
        {"length": 8192, "env": (("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1"),)},
        [],
        id="allowed-length",
    ),
    pytest.param(
        "gpt-oss-20b",
        Layout(),
        {"quantization": "fp8"},
        [
            "quantization: fp8 found; allowed is mxfp4, which this checkpoint is stored in. Leave the key out, or name "
            "another repository."
        ],
        id="other-method-than-stored",
    ),
    pytest.param("gpt-oss-20b", Layout(), {"quantization": "gpt_oss_mxfp4"}, [], id="other-name-of-the-method"),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(),
        {"quantization": "awq"},
        [
            "quantization: awq found; allowed is one of fp8, fp8_per_tensor, fp8_per_channel, fp8_per_block, mxfp8, "
            "mxfp4, "
            "int8_per_channel_weight_only, nvfp4_per_token, which the engine makes while it loads: the checkpoint is "
            "not "
            "quantised. Or name a repository that is stored in awq."
        ],
        id="method-that-a-checkpoint-must-bring",
    ),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(),
        {"vision": True},
        ["vision: true found; allowed is false: this model reads no images. Leave the key out."],
        id="vision",
    ),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(gpus=2, pipeline=2),
        {"device": "cpu", "eager": True},
        [
            "pipeline_parallel_size: 2 found; allowed is 1 with --enforce-eager on the CPU: every completion is an "
            "error "
            "while /health says 200. Replace --enforce-eager by --compilation-config "
            '\'{"mode":"DYNAMO_TRACE_ONCE","backend":"eager"}\'.'
        ],
        id="stages-on-the-cpu",
    ),
    pytest.param(
        "gpt-oss-20b",
        Layout(gpus=2, tensor=2, expert=True),
        {"device": "cpu", "env": (("VLLM_CPU_OMP_THREADS_BIND", "nobind"),)},
        ["expert_parallel: true found; allowed is false on the CPU, where the engine crashes with it. Leave it out."],
        id="experts-on-the-cpu",
    ),
    pytest.param(
        "mistral-7b-v0.3",
        Layout(gpus=2, tensor=2),
        {"device": "cpu"},
        [
            "tensor_parallel_size: 2 found; allowed is 1 on the CPU unless VLLM_CPU_OMP_THREADS_BIND is set: the "
            "default "
            "binding needs a NUMA node a rank. Set env: {VLLM_CPU_OMP_THREADS_BIND: nobind}."
        ],
        id="tensor-on-the-cpu",
    ),
]


@pytest.mark.parametrize(("name", "layout", "wish", "expected"), REFUSED)
def test_layouts(name: str, layout: Layout, wish: dict[str, t.Any], expected: list[str]) -> None:
    assert [problem.words() for problem in layout_problems(model(name), Wish(**wish), layout)] == expected


def test_narrow_heads_fail_on_the_cpu_at_the_first_request() -> None:
    narrow = model("mistral-7b-v0.3", head_dim=16)
    found = [problem.words() for problem in layout_problems(narrow, Wish(device="cpu"), Layout())]
    assert found == [
        "model_id: a model with heads of 16 found; allowed is one whose heads are a multiple of 32 wide on the CPU. "
        "The "
        "first request would fail."
    ]


def test_dense_layers_in_blocks() -> None:
    """Groups of a 4-bit checkpoint must stay whole in every cut."""
    found = model("qwen2.5-14b", quantization_config={"quant_method": "awq", "bits": 4, "group_size": 128})
    problems = layout_problems(found, Wish(), Layout(gpus=8, tensor=8))
    assert [problem.words() for problem in problems] == [
        "tensor_parallel_size: 8 found; allowed is one of 1, 2, 4: the layers are 13824 wide, quantised in blocks of "
        "128. "
        "Cut the rest of the GPUs with pipeline_parallel_size."
    ]


@pytest.mark.parametrize(
    ("kind", "wish", "name", "expected"),
    [
        pytest.param(
            "t4",
            {"dtype": "bfloat16"},
            "mistral-7b-v0.3",
            [
                "dtype: bfloat16 found; allowed is auto or float16 on t4, whose compute capability is 7.5. bfloat16 "
                "needs "
                "8.0."
            ],
            id="bfloat16-on-t4",
        ),
        pytest.param("t4", {}, "mistral-7b-v0.3", [], id="auto-on-t4"),
        pytest.param(
            "t4",
            {},
            "gpt-oss-20b",
            [
                "quantization: mxfp4 found; allowed is a method that runs on t4 (compute capability 7.5). mxfp4 needs "
                "8.0: "
                "name another repository or other GPUs."
            ],
            id="mxfp4-on-t4",
        ),
        pytest.param("l4", {"quantization": "fp8"}, "mistral-7b-v0.3", [], id="fp8-on-l4"),
    ],
)
def test_gpus(kind: str, wish: dict[str, t.Any], name: str, expected: list[str]) -> None:
    assert [problem.words() for problem in gpu_problems(model(name), Wish(**wish), gpu_of(kind))] == expected


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        pytest.param(Layout(gpus=2, pipeline=2), [], id="pipeline"),
        pytest.param(
            Layout(gpus=2, tensor=2),
            ["tensor_parallel_size 2 on l4, which has no NVLink: pipeline_parallel_size sends less between GPUs."],
            id="tensor-without-nvlink",
        ),
        pytest.param(
            Layout(nodes=2, gpus=4, tensor=8),
            [
                "tensor_parallel_size 8 reaches over nodes with 4 GPUs each: every layer waits for the network. "
                "tensor_parallel_size 4 and pipeline_parallel_size 2 talk less."
            ],
            id="tensor-across-nodes",
        ),
        pytest.param(Layout(expert=True), ["expert_parallel does nothing on one GPU."], id="experts-on-one-gpu"),
    ],
)
def test_warnings(layout: Layout, expected: list[str]) -> None:
    assert layout_warnings(Wish(), gpu_of("l4"), layout) == expected


def test_tensor_sizes_keep_heads_whole() -> None:
    assert tensor_sizes(model("llama-3.1-70b")) == [1, 2, 4, 8, 16, 32, 64]
    assert tensor_sizes(model("llama-4-scout")) == [1, 2, 4, 8, 40]
