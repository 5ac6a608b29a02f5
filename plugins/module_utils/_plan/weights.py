# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of weights: of the whole model, and of the GPU that holds most of them. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import Architecture, Experts
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout, stages
from ansible_collections.llmops.cluster.plugins.module_utils._plan.quantization import DTYPE_BYTES, Quantization

_FP4_MULTIPLE: t.Final = 256


class Share(t.NamedTuple):
    """Bytes of one part of a model, and the share of them that one GPU holds."""

    total: float
    share: float = 1.0


@dataclass(frozen=True)
class Weights:
    """Bytes of a model under one quantisation. `factor` corrects the arithmetic by the size of the files."""

    model: Architecture
    quantization: Quantization | None
    dtype_bytes: int
    factor: float = 1.0
    vision: bool = True

    def _bytes(self, numbers: float, quantized: bool) -> float:
        bits = self.quantization.bits if quantized and self.quantization else 8 * self.dtype_bytes
        return numbers * bits / 8 * self.factor

    def _heads(self, layout: Layout) -> list[Share]:
        """Attention of one layer."""
        model, tp = self.model, layout.tensor
        hidden, heads, quantized = model.hidden, model.heads, self._attention_quantized()
        if model.latent:
            latent, width = model.latent, model.latent.nope + model.latent.rope
            up = heads * latent.kv_rank * (latent.nope + latent.value)
            query = latent.q_rank * heads * width if latent.q_rank else hidden * heads * width
            cut = query + up + heads * latent.value * hidden
            whole = hidden * (latent.q_rank + latent.kv_rank + latent.rope)
            return [Share(self._bytes(cut, quantized), 1 / tp), Share(self._bytes(whole, quantized))]
        width = model.head_width
        # More GPUs than key and value heads: each head is on several GPUs.
        kv_share = max(1, model.kv_heads // tp) / model.kv_heads
        return [
            Share(self._bytes(2 * hidden * heads * width, quantized), 1 / tp),
            Share(self._bytes(2 * hidden * model.kv_heads * width, quantized), kv_share),
        ]

    def _attention_quantized(self) -> bool:
        return bool(self.quantization and self.quantization.attention)

    def _experts(self, experts: Experts, layout: Layout) -> list[Share]:
        """The mixture of one layer: experts are spread over all GPUs of a stage, the rest over the tensor group."""
        hidden, ranks = self.model.hidden, layout.tensor * layout.data
        share = -(-experts.count // ranks) / experts.count if layout.expert else 1 / ranks
        share *= self._padding(experts.width, 1 if layout.expert else ranks)
        dense = bool(self.quantization and self.quantization.dense)
        return [
            Share(self._bytes(3 * hidden * experts.width * experts.count, bool(self.quantization)), share),
            Share(self._bytes(3 * hidden * experts.shared_width, dense), 1 / layout.tensor),
            Share(self._bytes(hidden * experts.count, False)),
        ]

    def _padding(self, width: int, cuts: int) -> float:
        """How much larger experts in 4 bits get in memory: the kernels want their cuts in multiples of 256."""
        if self.quantization is None or "mxfp4" not in self.quantization.method:
            return 1.0
        cut = -(-width // cuts)
        return -(-cut // _FP4_MULTIPLE) * _FP4_MULTIPLE / cut

    def layer(self, mixture: bool, layout: Layout) -> list[Share]:
        """All parts of one layer, with experts or without."""
        model = self.model
        shares = [*self._heads(layout), Share(self._bytes(2 * model.hidden, False))]
        if model.experts and mixture:
            return shares + self._experts(model.experts, layout)
        numbers = model.ffn_matrices * model.hidden * model.ffn_width
        dense = bool(self.quantization and self.quantization.dense)
        return [*shares, Share(self._bytes(numbers, dense), 1 / layout.tensor)]

    def _mixtures(self, layers: range) -> int:
        """How many of these layers have experts."""
        return sum(index in self.model.experts.layers for index in layers) if self.model.experts else 0

    def ends(self, layout: Layout) -> tuple[list[Share], list[Share]]:
        """What only the first and only the last stage hold beside their layers."""
        model = self.model
        table = Share(self._bytes(model.vocabulary * model.hidden, False), 1 / layout.tensor)
        first = [table]
        if model.vision and self.vision:
            first.append(Share(self._bytes(model.vision, False), 1 / layout.tensor))
        last = [] if model.tied and layout.pipeline == 1 else [table]
        return first, last

    def on_stages(self, layout: Layout) -> list[float]:
        """Bytes on each GPU of each pipeline stage."""
        plain, mixture = (_held(self.layer(kind, layout)) for kind in (False, True))
        first, last = (_held(end) for end in self.ends(layout))
        found = []
        for layers in stages(self.model.layers, layout.pipeline):
            mixtures = self._mixtures(layers)
            held = mixtures * mixture + (len(layers) - mixtures) * plain
            found.append(held + _held(self._latent_copies(layout, len(layers))))
        found[0] += first
        found[-1] += last
        return found

    def _latent_copies(self, layout: Layout, layers: int) -> list[Share]:
        """vLLM keeps the up-projection of latent attention a second time, as the two matrices it absorbs."""
        latent = self.model.latent
        if not latent:
            return []
        numbers = self.model.heads * latent.kv_rank * (latent.nope + latent.value)
        return [Share(self._bytes(numbers * layers, False), 1 / layout.tensor)]

    def total(self) -> int:
        """Bytes of the model once, without the draft layers that only a speculative decoder loads."""
        alone = Layout()
        mixtures = self._mixtures(range(self.model.layers))
        parts = [(mixtures, self.layer(True, alone)), (self.model.layers - mixtures, self.layer(False, alone))]
        layers = sum(count * sum(part.total for part in shares) for count, shares in parts)
        return round(layers + sum(part.total for end in self.ends(alone) for part in end))

    def stored(self) -> int:
        """Bytes of the files: with the draft layers, which lie there too."""
        if not self.model.draft_layers:
            return self.total()
        # A draft layer brings a table and a head of its own, and the matrix that joins two inputs.
        own = 2 * self.model.hidden * (self.model.vocabulary + self.model.hidden)
        draft = sum(part.total for part in self.layer(True, Layout())) + self._bytes(own, False)
        return self.total() + round(self.model.draft_layers * draft)


def _held(shares: list[Share]) -> float:
    """What one GPU holds of these parts."""
    return sum(part.total * part.share for part in shares)


def checkpoint_weights(model: Architecture, files: int | None) -> Weights:
    """The weights as stored, corrected by the size of the files where that is known."""
    weights = Weights(model, model.quantization, DTYPE_BYTES.get(model.dtype, 2))
    return replace(weights, factor=files / weights.stored()) if files else weights
