# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How one engine is cut over GPUs. Private to this collection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Layout:
    """Sizes of one engine: `gpus` on each of `nodes`; tensor x pipeline x data = gpus x nodes."""

    nodes: int = 1
    gpus: int = 1
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False

    @property
    def world(self) -> int:
        """GPUs of the engine."""
        return self.nodes * self.gpus

    def words(self) -> str:
        """The sizes in words."""
        parts = [f"tensor {self.tensor}"] if self.tensor > 1 else []
        parts += [f"pipeline {self.pipeline}"] if self.pipeline > 1 else []
        parts += [f"data {self.data}"] if self.data > 1 else []
        cut = " x ".join(parts) or "no cut"
        return cut + (", experts spread" if self.expert else "")

    def entry(self) -> dict[str, int | bool]:
        """The sizes by the keys of the catalogue."""
        return {
            "nodes": self.nodes,
            "gpus": self.gpus,
            "tensor_parallel_size": self.tensor,
            "pipeline_parallel_size": self.pipeline,
            "data_parallel_size": self.data,
            "expert_parallel": self.expert,
        }


def stages(layers: int, pipeline: int) -> list[range]:
    """Which layers each stage holds, as vLLM cuts them: what is left over goes to the stages before the last one."""
    sizes = [layers // pipeline] * pipeline
    for index in range(2, layers % pipeline + 2):
        sizes[-index] += 1
    starts = [sum(sizes[:index]) for index in range(pipeline)]
    return [range(start, start + size) for start, size in zip(starts, sizes)]
