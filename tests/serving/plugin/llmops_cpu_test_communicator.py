# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the CPU communicator lacks, over gloo: gathering and scattering of uneven parts, and hosts told apart."""

# mypy: disable-error-code="import-not-found,misc"
# vLLM comes with the hosts it runs on.

from __future__ import annotations

import os
import socket
import typing as t

import torch
import torch.distributed as dist
from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator, _CPUSHMDistributed


class Communicator(CpuCommunicator):
    def _all_group_ranks_share_shm_group_name(self) -> bool:
        me = (_CPUSHMDistributed.make_group_name(self), socket.gethostname(), os.stat("/dev/shm").st_dev)
        names: list[t.Any] = [None] * self.world_size
        dist.all_gather_object(names, me, group=self.device_group)
        return len(set(names)) == 1

    def _gathered(self, part: t.Any, sizes: list[int] | None) -> t.Any:
        part = part.contiguous()
        if sizes is None or len(set(sizes)) == 1:
            out = [torch.empty_like(part) for _ in range(self.world_size)]
            dist.all_gather(out, part, group=self.device_group)
            return torch.cat(out)
        longest = max(sizes)
        padded = part.new_zeros((longest,) + part.shape[1:])
        padded[: part.shape[0]] = part
        out = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(out, padded, group=self.device_group)
        return torch.cat([one[:size] for one, size in zip(out, sizes, strict=True)])

    def all_gatherv(self, input_: t.Any, dim: int = 0, sizes: list[int] | None = None) -> t.Any:
        if isinstance(input_, (list, tuple)):
            return [self._gathered(part, sizes) for part in input_]
        return self._gathered(input_, sizes)

    def reduce_scatterv(self, input_: t.Any, dim: int = -1, sizes: list[int] | None = None) -> t.Any:
        whole = input_.contiguous().clone()
        dist.all_reduce(whole, group=self.device_group)
        sizes = sizes or [whole.shape[0] // self.world_size] * self.world_size
        start = sum(sizes[: self.rank_in_group])
        return whole[start : start + sizes[self.rank_in_group]].contiguous()
