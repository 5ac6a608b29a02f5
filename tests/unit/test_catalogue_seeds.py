# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/catalogue-seeds.yml: every entry validates, and the plan agrees with what its comments say."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import catalogue_problems
from ansible_collections.llmops.cluster.plugins.module_utils._plan.serving import serving_plan

ROOT = Path(__file__).parents[2]
CONFIGS = Path(__file__).parent / "fixtures" / "model-configs"
CATALOGUE = yaml.safe_load((ROOT / "examples" / "catalogue-seeds.yml").read_text())
MODELS, DEFAULTS = CATALOGUE["vllm_models"], CATALOGUE["vllm_defaults"]
# The embedding model has the shape of the small one that generates.
FIXTURES = {"phi3": "phi-3-mini-4k", "mistral": "mistral-7b-v0.3", "qwen3-embedding-0.6b": "qwen3-0.6b"}
# The smallest GPUs that each was published for: type, GPUs of a node, nodes.
SMALL, LARGE, PAIR = ("l4", 1, 1), ("h100", 8, 1), ("h100", 4, 2)
WHERE: dict[str, tuple[str, int, int]] = {
    "deepseek-v2-lite": ("h100", 8, 2),
    "glm-4.6v": LARGE,
    "glm-4.6v-fp8": ("h100", 2, 1),
    "glm-4.7": PAIR,
    "glm-4.7-flash": ("h100", 2, 1),
    "gpt-oss-120b": ("h100", 1, 1),
    "gpt-oss-20b": SMALL,
    "llama-3.1-70b": PAIR,
    "llama-3.2-3b": SMALL,
    "llama-4-maverick": PAIR,
    "llama-4-scout": ("h100", 2, 1),
    "mistral": SMALL,
    "phi3": SMALL,
    "qwen2.5-14b": LARGE,
    "qwen2.5-7b": SMALL,
    "qwen3-0.6b": SMALL,
    "qwen3-embedding-0.6b": SMALL,
    "qwen3-30b-a3b-fp8": ("h100", 8, 2),
    "qwen3-vl-235b": PAIR,
}


def plan(name: str, **overrides: t.Any) -> dict[str, t.Any]:
    kind, gpus, nodes = WHERE[name]
    config = json.loads((CONFIGS / f"{FIXTURES.get(name, name)}.json").read_text())
    groups = [{"type": kind, "gpus": gpus, "nodes": nodes}]
    about = {name: {"config": config}}
    return serving_plan(MODELS, DEFAULTS, name, {name: overrides}, configs=about, gpus=groups)[0]


def test_it_validates() -> None:
    assert catalogue_problems(MODELS, DEFAULTS) == []
    assert {entry["name"] for entry in catalogue_plan(MODELS, DEFAULTS)} == set(WHERE)


@pytest.mark.parametrize("name", sorted(WHERE))
def test_each_fits_where_it_was_published_for(name: str) -> None:
    found = plan(name)
    assert found["problems"] == []
    assert found["state"] == "planned"


@pytest.mark.parametrize("name", ["glm-4.7", "llama-4-scout", "llama-4-maverick"])
def test_those_with_a_comment_do_not_fit_in_16_bits(name: str) -> None:
    found = plan(name, quantization=None)
    assert found["state"] == "refused"
    assert any(way.startswith("quantization: fp8 ") for way in found["advice"])


def test_experts_in_blocks_must_be_spread() -> None:
    found = plan("qwen3-30b-a3b-fp8", expert_parallel=False)
    assert found["state"] == "refused"
    assert "Or set expert_parallel: true" in found["problems"][0]
