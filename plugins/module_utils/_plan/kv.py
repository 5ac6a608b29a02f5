# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KV cache: bytes of a token, tokens of a cache, requests at the same time. Private to this collection.

Follows vLLM 0.32: whole blocks; layers that forget share their pages with layers that do not, in groups of equal size.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import (
    FULL,
    SLIDING,
    Architecture,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout, stages
from ansible_collections.llmops.cluster.plugins.module_utils._plan.quantization import DTYPE_BYTES

GPU_BLOCK: t.Final = 16
CPU_BLOCK: t.Final = 128


@dataclass(frozen=True)
class CacheOptions:
    """What a cache is asked for. `mixed` is whether the engine treats layers by their kinds."""

    length: int
    element_bytes: int
    block: int = GPU_BLOCK
    batched_tokens: int = 2048
    mixed: bool = True


@dataclass(frozen=True)
class Cache:
    """What a number of bytes on each GPU holds."""

    blocks: int
    blocks_a_request: int

    def concurrency(self) -> float:
        """Requests of full length at the same time."""
        return self.blocks / self.blocks_a_request if self.blocks_a_request else 0.0

    def tokens(self, length: int) -> int:
        """Tokens, as the engine reports them."""
        return int(self.concurrency() * length)

    def holds_one(self) -> bool:
        """Whether one request of full length fits; one block is always kept back."""
        return not self.blocks_a_request or self.blocks - 1 >= self.blocks_a_request


def element_bytes(kv_dtype: str, model: Architecture, dtype: str) -> int:
    """Bytes of one number in the cache."""
    if kv_dtype.startswith(("fp8", "int8")):
        return 1
    if kv_dtype == "auto" and model.quantization and model.quantization.kv_bytes:
        return model.quantization.kv_bytes
    return DTYPE_BYTES.get(dtype if kv_dtype == "auto" else kv_dtype, 2)


def token_bytes(model: Architecture, tensor: int, size: int) -> int:
    """Bytes of one token in one layer on one GPU.

    Keys and values of the heads this GPU has, at least one; the latent of MLA is not cut, each GPU keeps all of it.
    """
    if model.latent:
        return (model.latent.kv_rank + model.latent.rope) * size
    return max(1, model.kv_heads // tensor) * 2 * model.head_width * size


def _groups(model: Architecture, mixed: bool) -> tuple[list[list[int]], list[list[int]]]:
    """Layers that share a table of blocks: groups of full ones, groups of sliding ones."""
    full = [index for index, kind in enumerate(model.attention) if kind == FULL]
    sliding = [index for index, kind in enumerate(model.attention) if kind == SLIDING and model.window]
    full += [index for index, kind in enumerate(model.attention) if kind == SLIDING and not model.window]
    if not mixed and full:
        return [sorted(full + sliding)], []
    if not full or not sliding:
        return ([full] if full else []), ([sliding] if sliding else [])
    few, many = sorted((len(full), len(sliding)))
    size = many if many < 1.5 * few else few
    return _split(full, size), _split(sliding, size)


def _split(layers: list[int], size: int) -> list[list[int]]:
    count = -(-len(layers) // size)
    return [layers[index::count] for index in range(count)]


def _blocks(tokens: int, block: int) -> int:
    return -(-tokens // block)


def request_blocks(model: Architecture, options: CacheOptions, pipeline: int = 1) -> int:
    """Blocks of one request of full length, in all groups."""
    full, sliding = _groups(model, options.mixed)
    # Batches under way: one in each stage, and the next one, which asynchronous scheduling prepares.
    kept = min(model.window - 1 + (pipeline + 1) * options.batched_tokens, options.length)
    needed = len(full) * _blocks(options.length, options.block)
    return needed + len(sliding) * (_blocks(kept, options.block) + 1)


def cache_of(model: Architecture, layout: Layout, options: CacheOptions, room: t.Sequence[float]) -> Cache:
    """The cache that fits, given the free bytes on a GPU of each stage: the fullest stage decides."""
    full, sliding = _groups(model, options.mixed)
    page = token_bytes(model, layout.tensor, options.element_bytes) * options.block
    counts = []
    for bytes_free, held in zip(room, stages(model.layers, layout.pipeline)):
        # A block is as many pages as the largest group has layers in this stage.
        pages = max((sum(index in held for index in group) for group in full + sliding), default=0)
        if pages:
            counts.append(max(0, int(bytes_free // (pages * page))))
    return Cache(min(counts, default=0), request_blocks(model, options, layout.pipeline))


def longest(model: Architecture, layout: Layout, options: CacheOptions, room: t.Sequence[float]) -> int:
    """The longest request that fits; 0 when none does."""
    low, high = 0, options.length
    while low < high:
        middle = (low + high + 1) // 2
        asked = CacheOptions(middle, options.element_bytes, options.block, options.batched_tokens, options.mixed)
        low, high = (middle, high) if cache_of(model, layout, asked, room).holds_one() else (low, middle - 1)
    return low
