# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model's config.json says that decides where it fits. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.quantization import (
    Quantization,
    quantization_of,
)

# Families without a gate in their feed-forward blocks: two matrices, not three.
_UNGATED: t.Final = frozenset({"bert", "bloom", "falcon", "gpt2", "gpt_neox", "opt", "phi", "roberta", "starcoder2"})
# Families that answer with vectors: nothing is kept between tokens.
_ENCODERS: t.Final = frozenset({"bert", "modernbert", "nomic_bert", "roberta", "xlm-roberta"})
# Families whose every layer has the window that the configuration names, without names for the layers.
_WINDOWED: t.Final = frozenset({"mistral", "mixtral", "phi3", "phimoe", "starcoder2"})
# Kinds of rope scaling that leave max_position_embeddings as it is.
_UNSCALED: t.Final = frozenset({"", "default", "llama3", "longrope", "mrope", "proportional", "su"})

FULL, SLIDING, STATELESS = "full", "sliding", "stateless"


@dataclass(frozen=True)
class Latent:
    """Ranks and widths of multi-head latent attention."""

    q_rank: int
    kv_rank: int
    nope: int
    rope: int
    value: int


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: how many, how wide, and in which layers."""

    count: int
    active: int
    width: int
    shared_width: int
    layers: frozenset[int]


@dataclass(frozen=True)
class Architecture:
    """One model. Widths count numbers, not bytes."""

    name: str
    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    ffn_matrices: int
    vocabulary: int
    tied: bool
    max_length: int | None
    dtype: str
    attention: tuple[str, ...]
    window: int
    draft_layers: int
    latent: Latent | None
    experts: Experts | None
    vision: int | None
    quantization: Quantization | None


def _text(config: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    """The part that describes the language model; its own keys win over those around it."""
    for name in ("text_config", "llm_config", "language_config"):
        inner = config.get(name)
        if isinstance(inner, Mapping):
            return {**config, **inner}
    return config


def _number(config: Mapping[str, t.Any], *names: str, default: int | None = None) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    if default is None:
        raise PlanError(
            f"Reading the model's config.json failed: none of {', '.join(names)} is there. Plan this model by hand: "
            "give gpus, nodes and the parallel sizes in its entry."
        )
    return default


def _max_length(config: Mapping[str, t.Any]) -> int | None:
    length = _number(config, "max_position_embeddings", "n_positions", "seq_length", "model_max_length", default=0)
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = str(scaling.get("rope_type", scaling.get("type")) or "") if isinstance(scaling, Mapping) else ""
    factor = scaling.get("factor") if kind and kind not in _UNSCALED else None
    if isinstance(factor, (int, float)) and length:
        original = scaling.get("original_max_position_embeddings")
        length = int((original if kind == "yarn" and isinstance(original, int) else length) * factor)
    return length or None


def _attention(config: Mapping[str, t.Any], layers: int) -> tuple[str, ...]:
    """How each layer remembers.

    Only layers that the configuration names are taken for sliding ones: without the names the engine may keep all of
    the text, and a plan must not promise what it would not hold. Chunked local attention (Llama 4) counts as full,
    since vLLM gives it full pages unless it is told otherwise.
    """
    if config.get("model_type") in _ENCODERS:
        return (STATELESS,) * layers
    names = config.get("layer_types")
    if isinstance(names, list) and len(names) == layers and config.get("use_sliding_window") is not False:
        kinds = {"sliding_attention": SLIDING, "linear_attention": STATELESS}
        return tuple(kinds.get(str(name), FULL) for name in names)
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, int) and pattern > 1 and config.get("sliding_window"):
        return tuple(FULL if (index + 1) % pattern == 0 else SLIDING for index in range(layers))
    if config.get("model_type") in _WINDOWED and isinstance(config.get("sliding_window"), int):
        return (SLIDING,) * layers
    return (FULL,) * layers


def _moe_layers(config: Mapping[str, t.Any], layers: int) -> frozenset[int]:
    named = config.get("moe_layers")
    if isinstance(named, list) and named:
        return frozenset(index for index in named if isinstance(index, int))
    dense_first = _number(config, "first_k_dense_replace", default=0)
    every = _number(config, "moe_layer_freq", default=1)
    step = _number(config, "interleave_moe_layer_step", "decoder_sparse_step", default=1)
    dense = config.get("mlp_only_layers") or ()
    return frozenset(
        index
        for index in range(layers)
        if index >= dense_first
        and index % max(every, 1) == 0
        and (index + 1) % max(step, 1) == 0
        and index not in dense
    )


def _experts(config: Mapping[str, t.Any], layers: int, ffn_width: int) -> Experts | None:
    count = _number(config, "n_routed_experts", "num_experts", "num_local_experts", default=0)
    if count < 2:
        return None
    width = _number(config, "moe_intermediate_size", default=ffn_width)
    shared = _number(config, "shared_expert_intermediate_size", default=0)
    shared = shared or width * _number(config, "n_shared_experts", default=0)
    if config.get("model_type") == "llama4_text":
        shared = width
    return Experts(
        count=count,
        active=_number(config, "num_experts_per_tok", "experts_per_token", default=1),
        width=width,
        shared_width=shared,
        layers=_moe_layers(config, layers),
    )


def _latent(config: Mapping[str, t.Any]) -> Latent | None:
    rank = _number(config, "kv_lora_rank", default=0)
    if not rank:
        return None
    return Latent(
        q_rank=_number(config, "q_lora_rank", default=0),
        kv_rank=rank,
        nope=_number(config, "qk_nope_head_dim"),
        rope=_number(config, "qk_rope_head_dim"),
        value=_number(config, "v_head_dim"),
    )


def _vision(config: Mapping[str, t.Any]) -> int | None:
    """Roughly the parameters of what reads images; None when nothing does."""
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        return None
    hidden = _number(vision, "hidden_size", "embed_dim", default=0)
    inner = _number(vision, "intermediate_size", default=4 * hidden)
    depth = _number(vision, "depth", "num_hidden_layers", "num_layers", default=0)
    return depth * (4 * hidden * hidden + 2 * hidden * inner)


def read_architecture(config: t.Any) -> Architecture:
    """The architecture in a config.json."""
    if not isinstance(config, Mapping):
        raise PlanError(f"Reading the model's config.json failed: it holds a {type(config).__name__}, not an object.")
    text = _text(config)
    layers = _number(text, "num_hidden_layers", "n_layer", "num_layers")
    hidden = _number(text, "hidden_size", "n_embd", "d_model")
    heads = _number(text, "num_attention_heads", "n_head")
    if min(layers, hidden, heads) < 1:
        raise PlanError("Reading the model's config.json failed: layers, width and heads must be at least 1.")
    family = str(text.get("model_type", ""))
    # Llama 4 calls the width of an expert intermediate_size and that of a dense block intermediate_size_mlp.
    ffn_width = _number(text, "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden)
    experts = _experts(text, layers, ffn_width)
    names = config.get("architectures")
    dtype = text.get("dtype") or text.get("torch_dtype") or config.get("torch_dtype") or "bfloat16"
    return Architecture(
        name=str(names[0]) if isinstance(names, list) and names else family,
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_number(text, "num_key_value_heads", "num_kv_heads", "n_head_kv", default=heads),
        head_width=_number(text, "head_dim", default=hidden // heads),
        ffn_width=_number(text, "intermediate_size_mlp", default=ffn_width),
        ffn_matrices=2 if family in _UNGATED else 3,
        vocabulary=_number(text, "vocab_size"),
        tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
        max_length=_max_length(text),
        dtype=str(dtype).removeprefix("torch."),
        attention=_attention(text, layers),
        window=_number(text, "sliding_window", default=0),
        draft_layers=_number(text, "num_nextn_predict_layers", "num_mtp_layers", default=0),
        latent=_latent(text),
        experts=experts,
        vision=_vision(config),
        quantization=quantization_of(config.get("quantization_config") or text.get("quantization_config")),
    )
