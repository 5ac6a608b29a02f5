# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every model on every cluster."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import read_architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import Choice, choose
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import KINDS, Group, gpu_of
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout, stages
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish
from hypothesis import given, settings
from hypothesis import strategies as st

GROUPS = st.builds(
    lambda kind, gpus, nodes: Group(gpu_of(kind), gpus, nodes),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([1, 2, 3, 4, 8]),
    st.integers(1, 4),
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, t.Any]:
    """Decoders with or without grouped heads, experts and latent attention."""
    kv_heads = draw(st.sampled_from([1, 2, 3, 4, 8]))
    found: dict[str, t.Any] = {
        "num_hidden_layers": draw(st.integers(1, 96)),
        "hidden_size": 128 * draw(st.integers(4, 64)),
        "num_key_value_heads": kv_heads,
        "num_attention_heads": kv_heads * draw(st.sampled_from([1, 3, 4, 7, 8])),
        "head_dim": draw(st.sampled_from([64, 128])),
        "intermediate_size": 128 * draw(st.integers(8, 256)),
        "vocab_size": draw(st.sampled_from([32_000, 151_936])),
        "max_position_embeddings": draw(st.sampled_from([2048, 32_768, 131_072])),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if draw(st.booleans()):
        found |= {"num_experts": 2 ** draw(st.integers(2, 7)), "num_experts_per_tok": 2}
        found["moe_intermediate_size"] = 128 * draw(st.integers(2, 16))
    if draw(st.booleans()):
        found |= {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    if draw(st.booleans()):
        found["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    return found


def _chosen(config: dict[str, t.Any], group: Group) -> Choice:
    return choose(read_architecture(config), Wish(length=2048), None, [group], {})


@settings(max_examples=150, deadline=None)
@given(configs(), GROUPS)
def test_a_plan_divides_evenly_and_stays_within_memory(config: dict[str, t.Any], group: Group) -> None:
    choice = _chosen(config, group)
    if not choice.works:
        return
    assert choice.fit is not None
    layout, model = choice.fit.layout, choice.model.architecture
    assert layout.tensor * layout.pipeline * layout.data == layout.nodes * layout.gpus
    assert layout.nodes <= group.nodes
    assert layout.gpus <= group.gpus
    assert model.heads % layout.tensor == 0
    assert model.latent or model.kv_heads % layout.tensor == 0 or layout.tensor % model.kv_heads == 0
    assert layout.pipeline <= model.layers
    assert layout.data == 1 or model.experts is not None
    assert choice.fit.weights + choice.fit.working + choice.fit.cache_bytes <= choice.fit.budget + 2
    assert choice.fit.budget <= group.gpu.memory
    assert choice.fit.cache.blocks > choice.fit.cache.blocks_a_request


@settings(max_examples=100, deadline=None)
@given(configs(), GROUPS)
def test_more_gpus_never_fit_less(config: dict[str, t.Any], group: Group) -> None:
    if _chosen(config, group).works:
        assert _chosen(config, replace(group, nodes=group.nodes + 1)).works
        assert _chosen(config, replace(group, nodes=1, gpus=group.gpus * group.nodes)).works


@settings(max_examples=100, deadline=None)
@given(configs(), GROUPS)
def test_what_fits_a_length_fits_every_shorter_one(config: dict[str, t.Any], group: Group) -> None:
    model = read_architecture(config)
    if choose(model, Wish(length=2048), None, [group], {}).works:
        assert choose(model, Wish(length=1024), None, [group], {}).works


@settings(max_examples=100, deadline=None)
@given(configs())
def test_the_stages_hold_the_model_once(config: dict[str, t.Any]) -> None:
    choice = _chosen(config, Group(gpu_of("b200"), 8, 1))
    weights = replace(choice.model.weights, model=replace(choice.model.architecture, latent=None, tied=False))
    for pipeline in (1, 2, 3):
        if pipeline <= weights.model.layers:
            held = sum(weights.on_stages(Layout(gpus=pipeline, pipeline=pipeline)))
            assert abs(held - weights.total()) < 2


@given(st.integers(1, 128), st.integers(1, 16))
def test_stages_share_all_layers_nearly_evenly(layers: int, pipeline: int) -> None:
    if pipeline > layers:
        return
    parts = stages(layers, pipeline)
    assert [index for part in parts for index in part] == list(range(layers))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
