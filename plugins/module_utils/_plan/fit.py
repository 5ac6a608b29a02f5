# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One layout on GPUs of one kind: what lies where, and what is left for the cache. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import Architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import GIB, Gpu
from ansible_collections.llmops.cluster.plugins.module_utils._plan.kv import (
    Cache,
    CacheOptions,
    cache_of,
    element_bytes,
    longest,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout
from ansible_collections.llmops.cluster.plugins.module_utils._plan.lora import adapter_bytes
from ansible_collections.llmops.cluster.plugins.module_utils._plan.quantization import (
    DTYPE_BYTES,
    online,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.weights import Weights, checkpoint_weights
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish

# Working memory beside weights and cache: captured graphs and workspaces, the buffers of collectives, the encoder of
# images. Estimates; the engine measures its own at the start.
_GRAPHS: t.Final = 0.5 * GIB
_COLLECTIVES: t.Final = 0.5 * GIB
_ENCODER: t.Final = 1.0 * GIB
# Workspaces and leftovers of loading experts, as a share of the weights: from public logs of models of 117 and 235
# thousand million parameters.
_EXPERTS: t.Final = 0.04
# Bytes of one score of one word while a step is sampled: the scores themselves in single precision, a copy, sorted, the
# order as 64 bits, probabilities and their sums.
_SCORE: t.Final = 28


@dataclass(frozen=True)
class Model:
    """A model as it would be loaded."""

    architecture: Architecture
    weights: Weights
    dtype: str
    length: int
    files: int


@dataclass(frozen=True)
class Fit:
    """What one GPU of the fullest stage holds, in bytes, and what its cache is good for."""

    layout: Layout
    length: int
    weights: int
    working: int
    budget: int
    cache: Cache
    cache_bytes: int
    wanted: float
    longest: int
    copies: int

    @property
    def fits(self) -> bool:
        """Whether the weights and the wished requests fit."""
        return self.cache_bytes >= 0 and self.cache.holds_one() and self.concurrency >= self.wanted

    @property
    def concurrency(self) -> float:
        """Requests of full length at the same time, over all data parallel copies; no bound without a cache."""
        return self.cache.concurrency() * self.copies if self.cache.blocks_a_request else float("inf")

    @property
    def tokens(self) -> int:
        """Tokens of the cache over all copies."""
        return self.cache.tokens(self.length) * self.copies


def settle_model(architecture: Architecture, wish: Wish, files: int | None, gpu: Gpu | None) -> Model:
    """The model with the number type, the quantisation and the length it would get."""
    stored = checkpoint_weights(architecture, files)
    dtype = _dtype(architecture, wish, gpu)
    made = online(wish.quantization) if wish.quantization and architecture.quantization is None else None
    loaded = replace(stored, dtype_bytes=DTYPE_BYTES.get(dtype, 2), vision=wish.vision is not False)
    if made:
        loaded = replace(loaded, quantization=made)
    length = wish.length or architecture.max_length or 2048
    return Model(architecture, loaded, dtype, length, files or stored.stored())


def _dtype(architecture: Architecture, wish: Wish, gpu: Gpu | None) -> str:
    """The number type the engine takes for 'auto': halves for floats, float16 where bfloat16 cannot be."""
    if wish.dtype != "auto":
        return {"half": "float16", "float": "float32"}.get(wish.dtype, wish.dtype)
    found = "bfloat16" if architecture.dtype == "float32" else architecture.dtype
    return "float16" if found == "bfloat16" and gpu is not None and gpu.capability < 8.0 else found


def engine_defaults(gpu: Gpu | None) -> tuple[int, int]:
    """Tokens of a batch and requests at once where nothing is said, as vLLM chooses them by the memory of a GPU."""
    gib = gpu.memory / GIB if gpu else 0
    if gib >= 160:
        return 16384, 1024
    return (8192, 1024) if gpu and gib >= 70 and "a100" not in gpu.type.lower() else (2048, 256)


def cache_options(model: Model, wish: Wish, gpu: Gpu | None) -> CacheOptions:
    """What the cache is asked for."""
    return CacheOptions(
        length=model.length,
        element_bytes=element_bytes(wish.kv_dtype, model.architecture, model.dtype),
        block=wish.block,
        batched_tokens=wish.batched_tokens or engine_defaults(gpu)[0],
        mixed=not wish.has("--disable-hybrid-kv-cache-manager"),
    )


def _working(model: Model, wish: Wish, gpu: Gpu, layout: Layout, held: t.Sequence[float]) -> list[float]:
    """Working memory of a GPU of each stage, given the bytes of weights it holds."""
    found, (tokens, requests) = model.architecture, engine_defaults(gpu)
    tokens, requests = wish.batched_tokens or tokens, min(wish.max_num_seqs or requests, 1024)
    width = 3 * found.ffn_width / layout.tensor
    if found.experts:
        cut = 1 if layout.expert else layout.tensor * layout.data
        width = max(width, found.experts.active * (3 * found.experts.width / cut + found.hidden))
    layers = tokens * (6 * found.hidden + width) * 2
    # The last stage scores every word for each request.
    last = max(layers, requests * found.vocabulary * _SCORE)
    extra = (_GRAPHS if wish.graphs and not wish.eager else 0.0) + (_COLLECTIVES if layout.world > 1 else 0.0)
    extra += adapter_bytes(found, layout, wish)
    share = _EXPERTS if found.experts else 0.0
    needed = [layers + extra + share * stage for stage in held]
    needed[0] += _ENCODER if found.vision and wish.vision is not False else 0.0
    needed[-1] += last - layers
    return needed


def fit_of(model: Model, wish: Wish, gpu: Gpu, layout: Layout) -> Fit:
    """The layout on GPUs of this kind."""
    held = model.weights.on_stages(layout)
    working = _working(model, wish, gpu, layout, held)
    budget = gpu.memory * wish.utilization
    room = [budget - stage - needed for stage, needed in zip(held, working)]
    fullest = room.index(min(room))
    if wish.kv_bytes is not None:
        # The size is fixed: it must be there in the whole memory, and the share of it no longer counts.
        room = [min(float(wish.kv_bytes), gpu.memory - stage - needed) for stage, needed in zip(held, working)]
        budget = held[fullest] + working[fullest] + min(room)
    options = cache_options(model, wish, gpu)
    cache = cache_of(model.architecture, layout, options, room)
    return Fit(
        layout=layout,
        length=model.length,
        weights=round(held[fullest]),
        working=round(working[fullest]),
        budget=round(budget),
        cache=cache,
        cache_bytes=round(min(room)),
        wanted=wish.concurrency,
        longest=model.length if cache.holds_one() else longest(model.architecture, layout, options, room),
        copies=layout.data,
    )
