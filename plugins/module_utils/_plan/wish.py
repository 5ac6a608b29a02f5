# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a catalogue entry asks of a plan, options in extra_args included. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine import adapters_at_once, compile_options
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.flags import flag_of
from ansible_collections.llmops.cluster.plugins.module_utils._plan.kv import CPU_BLOCK, GPU_BLOCK

# Suffixes of vLLM's own numbers: capitals are powers of 1024.
_UNITS: t.Final = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
}


@dataclass(frozen=True)
class Wish:
    """One entry, as far as it decides where the model fits. None: left to the engine."""

    length: int | None = None
    utilization: float = 0.9
    dtype: str = "auto"
    quantization: str | None = None
    kv_dtype: str = "auto"
    max_num_seqs: int | None = None
    batched_tokens: int | None = None
    kv_bytes: int | None = None
    block: int = GPU_BLOCK
    eager: bool = False
    graphs: bool = True
    balancing: str = "internal"
    adapters: int = 0
    adapter_rank: int = 16
    vision: bool | None = None
    concurrency: float = 1.0
    backend: str = "mp"
    partition: str | None = None
    device: str = "cuda"
    words: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    def has(self, flag: str) -> bool:
        """Whether an option stands in the arguments."""
        return any(flag_of(word) == flag for word in self.words)


def options_of(words: Sequence[str]) -> dict[str, str]:
    """Options and their first values; an empty text for those without one. The last one of a name counts."""
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if not word.startswith("-"):
            continue
        following = words[index + 1] if index + 1 < len(words) else ""
        value = word.split("=", 1)[1] if "=" in word else ("" if following.startswith("--") else following)
        found[flag_of(word)] = value
    return found


def _number(text: str | None) -> int | None:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kmgtKMGT]?)", text or "")
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _cache_bytes(options: Mapping[str, str], env: Mapping[str, str]) -> int | None:
    """The size of the cache, where it is said: it then stands for the share of the memory."""
    given = _number(options.get("--kv-cache-memory-bytes"))
    space = _number(env.get("VLLM_CPU_KVCACHE_SPACE"))
    return given if given is not None else (space * 2**30 if space else None)


def _is_eager(words: Sequence[str]) -> bool:
    """Whether nothing is compiled: the last word about it counts, as it does in the engine."""
    said = [word for word in words if word in ("--enforce-eager", "--no-enforce-eager")]
    return bool(said) and said[-1] == "--enforce-eager"


def read_wish(entry: Mapping[str, t.Any], site: Mapping[str, t.Any], concurrency: float = 1.0) -> Wish:
    """The wish of a complete entry on a site, by the names of SITE_KEYS."""
    before = list(site.get("engine_args", ()))
    words = (*before, *compile_options(entry, before), *entry["extra_args"])
    env = {**site.get("engine_env", {}), **entry["env"]}
    options = options_of(words)
    device = str(site.get("device", "cuda"))
    block, eager = _number(options.get("--block-size")), _is_eager(words)
    return Wish(
        length=entry["max_model_len"],
        utilization=entry["gpu_memory_utilization"],
        dtype=entry["dtype"],
        quantization=entry["quantization"],
        kv_dtype=entry["kv_cache_dtype"] or "auto",
        max_num_seqs=entry["max_num_seqs"],
        batched_tokens=entry["max_num_batched_tokens"],
        kv_bytes=_cache_bytes(options, env),
        block=block or (CPU_BLOCK if device == "cpu" else GPU_BLOCK),
        eager=eager,
        graphs=not eager and entry["optimization_level"] != 0,
        balancing=entry["data_parallel_balancing"],
        adapters=adapters_at_once(entry) if entry["lora_adapters"] else 0,
        adapter_rank=entry["max_lora_rank"] or 16,
        vision=entry["vision"],
        concurrency=concurrency,
        backend=entry["backend"],
        partition=entry["partition"] or str(site.get("partition") or "") or None,
        device=device,
        words=words,
        env=tuple(sorted(env.items())),
    )
