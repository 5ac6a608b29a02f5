# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines against the options of an installed vLLM, recorded from 0.32.0."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine_keys import CONVERSIONS, RANKS, RUNNERS
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import serve_job
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import KV_DTYPES, MODEL_KEYS
from ansible_collections.llmops.cluster.plugins.module_utils._plan.parser import option_problems

PARSER = json.loads((Path(__file__).parents[3] / "fixtures" / "vllm-0.32.0-cpu" / "options.json").read_text())


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        pytest.param(["vllm", "serve", "m", "--port", "1", "--enforce-eager"], [], id="known"),
        pytest.param(["--max_model_len=5", "--dtype=half"], [], id="other-spelling"),
        pytest.param(["--compilation-config.mode", "3", "-O2", "--seed", "-1"], [], id="paths-levels-and-negatives"),
        pytest.param(["--no-enable-prefix-caching"], [], id="negated"),
        pytest.param(
            ["--disable-log-requests"],
            ["--disable-log-requests: vLLM 0.32.0 has no such option. Did you mean --enable-log-requests?"],
            id="removed",
        ),
        pytest.param(
            ["--zzz"],
            ["--zzz: vLLM 0.32.0 has no such option. Leave it out, or install the release that has it."],
            id="unknown",
        ),
        pytest.param(
            ["--dtype", "int3"],
            ["--dtype: 'int3' found; vLLM 0.32.0 takes auto, bfloat16, float, float16, float32, half."],
            id="value",
        ),
    ],
)
def test_options(argv: list[str], expected: list[str]) -> None:
    assert option_problems(argv, PARSER) == expected


@pytest.mark.parametrize("parser", [None, {}, {"options": None}, "x"])
def test_without_a_parser_nothing_is_checked(parser: t.Any) -> None:
    assert option_problems(["--zzz"], parser) == []


def test_every_option_that_a_key_writes_is_known() -> None:
    everything = {
        "name": "m",
        "model_id": "a/b",
        "port": 8000,
        "vision": False,
        "trust_remote_code": True,
        "revision": "0" * 40,
        "expert_parallel": True,
        "kv_cache_dtype": "fp8",
        "quantization": "fp8",
        "max_model_len": 9,
        "max_num_seqs": 9,
        "max_num_batched_tokens": 9,
        "runner": "pooling",
        "convert": "embed",
        "lora_adapters": {"sql": {"path": "/srv/sql"}},
        "max_lora_rank": 64,
        "optimization_level": 1,
        "cudagraph_capture_sizes": [1, 2, 4],
        "gpus": 8,
        "pipeline_parallel_size": 2,
        "data_parallel_size": 2,
    }
    argv = serve_job(catalogue_plan([everything])[0], {})["argv"]
    assert {key.flag for key in MODEL_KEYS.values() if key.flag} <= set(argv)
    assert option_problems(argv, PARSER) == []
    rest = {"name": "x", "model_id": "a/b", "port": 8000, "eager": True, "limit_mm_per_prompt": {"image": 2}}
    assert option_problems(serve_job(catalogue_plan([rest])[0], {})["argv"], PARSER) == []


def test_values_of_keys_are_those_of_the_engine() -> None:
    assert set(KV_DTYPES) <= set(PARSER["options"]["--kv-cache-dtype"])
    assert set(MODEL_KEYS["dtype"].choices) == set(PARSER["options"]["--dtype"])
    assert set(RUNNERS) <= set(PARSER["options"]["--runner"])
    assert set(CONVERSIONS) == set(PARSER["options"]["--convert"])
    assert [str(rank) for rank in RANKS] == PARSER["options"]["--max-lora-rank"]
