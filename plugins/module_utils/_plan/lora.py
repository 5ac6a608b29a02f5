# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that the engine keeps for LoRA adapters. Private to this collection."""

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import Architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout, stages
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish

_ELEMENT = 2


def _numbers(model: Architecture, tensor: int) -> float:
    """Numbers of one layer's adapter of rank one on one GPU: a column for each input, a row for each output.

    The engine keeps room for all matrices that an adapter may touch, in the width of the largest rank, whatever the
    adapters hold. Of each pair, tensor parallel cuts the side that the matrix itself is cut along.
    """
    attention = model.heads * model.head_width
    pair = 2 * model.kv_heads * model.head_width
    inputs = 3 * model.hidden + attention / tensor
    outputs = (attention + pair) / tensor + model.hidden
    gates = model.ffn_matrices - 1
    widths = [(model.ffn_width, 1.0)]
    if model.experts:
        widths = [(model.experts.width, float(model.experts.count))]
    for width, count in widths:
        inputs += count * (gates * model.hidden + width / tensor)
        outputs += count * (gates * width / tensor + model.hidden)
    return inputs + outputs


def adapter_bytes(model: Architecture, layout: Layout, wish: Wish) -> float:
    """Bytes on a GPU of the longest stage, for as many adapters as may work in one step. An estimate."""
    if not wish.adapters:
        return 0.0
    layers = max(len(held) for held in stages(model.layers, layout.pipeline))
    return wish.adapters * wish.adapter_rank * layers * _numbers(model, layout.tensor) * _ELEMENT
