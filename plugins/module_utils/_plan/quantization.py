# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bits of a weight, by the method that stores it. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

DTYPE_BYTES: t.Final = {
    "bfloat16": 2,
    "float16": 2,
    "half": 2,
    "float32": 4,
    "float": 4,
}

# Methods that vLLM 0.32 applies to an unquantised checkpoint while it loads, with the bits they leave. The two of the
# last line touch experts only.
ONLINE: t.Final = {
    "fp8": 8.0,
    "fp8_per_tensor": 8.0,
    "fp8_per_channel": 8.0,
    "fp8_per_block": 8.0,
    "mxfp8": 8.25,
    "mxfp4": 4.25,
    "int8_per_channel_weight_only": 8.0,
    "nvfp4_per_token": 4.5,
}
_ONLINE_EXPERTS: t.Final = frozenset({"int8_per_channel_weight_only", "nvfp4_per_token"})

# Compute capability that the engine asks for, by method.
CAPABILITY: t.Final = {
    "fp8": 7.5,
    "mxfp4": 8.0,
    "gpt_oss_mxfp4": 8.0,
    "awq": 7.5,
    "gptq": 6.0,
    "modelopt": 8.0,
    "modelopt_fp4": 7.5,
    "nvfp4_per_token": 10.0,
}

# One method under several names: the engine takes each for the other.
_SAME: t.Final = (
    frozenset({"awq", "awq_marlin", "auto_awq", "moe_wna16"}),
    frozenset({"gptq", "gptq_marlin", "auto_gptq", "moe_wna16"}),
    frozenset({"mxfp4", "gpt_oss_mxfp4"}),
)


@dataclass(frozen=True)
class Quantization:
    """How weights are stored. `block` and `group` are the sizes a cut must keep whole."""

    method: str
    bits: float
    block: tuple[int, int] | None = None
    group: int | None = None
    attention: bool = True
    dense: bool = True
    kv_bytes: int | None = None


def _first_weights(config: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    """The description of weights in the first group of a compressed-tensors configuration."""
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping) and isinstance(group.get("weights"), Mapping):
            return t.cast("Mapping[str, t.Any]", group["weights"])
    return {}


def _kept(config: Mapping[str, t.Any], word: str) -> bool:
    """Whether modules whose names hold this word stay as they were, in all layers."""
    listed = config.get("modules_to_not_convert") or config.get("ignore") or ()
    names = [str(name) for name in listed] if isinstance(listed, (list, tuple)) else []
    whole = [name for name in names if name.startswith("re:") or "*" in name or name.endswith(word)]
    # Lists that name each layer say the same with many entries.
    return any(word in name for name in whole) or sum(word in name for name in names) > 8


def _bits(config: Mapping[str, t.Any], method: str) -> tuple[float, int | None]:
    weights = _first_weights(config)
    group = config.get("group_size", weights.get("group_size"))
    group = group if isinstance(group, int) and group > 0 else None
    if "mxfp4" in method:
        return 4.25, 32
    if "fp4" in method or config.get("quant_algo") == "NVFP4":
        return 4.5, group or 16
    found = config.get("bits", config.get("w_bit", weights.get("num_bits")))
    bits = float(found) if isinstance(found, (int, float)) and 0 < found <= 16 else 8.0
    # A scale of 16 bits and a zero point for each group.
    return (bits + (16 + bits) / group if group and bits < 8 else bits), group


def quantization_of(config: t.Any) -> Quantization | None:
    """What the quantization_config of a config.json says; None for weights as they were trained."""
    if not isinstance(config, Mapping) or not config.get("quant_method"):
        return None
    method = str(config["quant_method"]).lower()
    bits, group = _bits(config, method)
    block = config.get("weight_block_size") or _first_weights(config).get("block_structure")
    sizes = tuple(block) if isinstance(block, (list, tuple)) and len(block) == 2 else None
    cache = config.get("kv_cache_scheme")
    return Quantization(
        method=method,
        bits=bits,
        block=t.cast("tuple[int, int] | None", sizes),
        group=group if bits < 8 else None,
        attention=not _kept(config, "self_attn"),
        dense=not (_kept(config, "mlp.gate_up") or "mxfp4" in method),
        kv_bytes=1 if isinstance(cache, Mapping) and cache.get("num_bits") == 8 else None,
    )


def online(method: str) -> Quantization | None:
    """The quantisation that the engine makes while it loads; None when a checkpoint must bring it."""
    if method not in ONLINE:
        return None
    dense = method not in _ONLINE_EXPERTS
    return Quantization(
        method=method,
        bits=ONLINE[method],
        block=(128, 128) if method == "fp8_per_block" else None,
        attention=dense,
        dense=dense,
    )


def same_method(one: str, other: str) -> bool:
    """Whether the engine accepts one name for the other."""
    return one == other or any(one in names and other in names for names in _SAME)


def capability_needed(method: str) -> float:
    """The least compute capability of a GPU that this method runs on."""
    return CAPABILITY.get(method, CAPABILITY["fp8"] if method in ONLINE else 0.0)
