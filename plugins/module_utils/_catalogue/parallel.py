# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs, nodes and parallel sizes of one entry. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping


def settle(entry: Mapping[str, t.Any]) -> tuple[dict[str, int], str | None]:
    """What the sizes left out must be, and why they cannot be, if so.

    gpus counts the GPUs of each node: tensor x pipeline x data = gpus x nodes must hold.
    """
    nodes, pipeline, data = (entry[name] for name in ("nodes", "pipeline_parallel_size", "data_parallel_size"))
    gpus, tensor = entry["gpus"], entry["tensor_parallel_size"]
    if gpus is None:
        needed = (tensor or 1) * pipeline * data
        if tensor is None and nodes > 1 and needed < nodes:
            needed = nodes * pipeline * data
        if needed % nodes:
            return {}, (
                f"tensor_parallel_size {tensor or 1} x pipeline_parallel_size {pipeline} x data_parallel_size {data} "
                f"= {needed} GPUs cannot be shared evenly by nodes {nodes}; allowed is a multiple of nodes"
            )
        gpus = needed // nodes
    total = gpus * nodes
    if tensor is None:
        if total % (pipeline * data):
            return {}, (
                f"gpus {gpus} x nodes {nodes} = {total} GPUs cannot be cut into pipeline_parallel_size {pipeline} x "
                f"data_parallel_size {data}; allowed is a divisor of {total}"
            )
        tensor = total // (pipeline * data)
    if tensor * pipeline * data != total:
        return {}, (
            f"tensor_parallel_size {tensor} x pipeline_parallel_size {pipeline} x data_parallel_size {data} = "
            f"{tensor * pipeline * data}, but gpus {gpus} x nodes {nodes} = {total}; allowed is the same number"
        )
    return {"gpus": gpus, "tensor_parallel_size": tensor}, None
