# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would make a model fit that does not, with numbers. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import Architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import Choice, Fixed, choose_on
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import GIB, Group
from ansible_collections.llmops.cluster.plugins.module_utils._plan.quantization import capability_needed
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish

_MOST_NODES: t.Final = 32
_HIGH: t.Final = 0.95
_FEW: t.Final = 64
# A shorter length than this is no help.
_USEFUL: t.Final = 2048


class _Case(t.NamedTuple):
    """What did not fit."""

    architecture: Architecture
    wish: Wish
    files: int | None
    group: Group
    fixed: Fixed

    def on(self, **changes: t.Any) -> Choice:
        """The choice after some change of the wish, or of what is there."""
        group = changes.pop("group", self.group)
        fixed = changes.pop("fixed", self.fixed)
        return choose_on(self.architecture, replace(self.wish, **changes), self.files, group, fixed)


def _holding(choice: Choice) -> str:
    if choice.fit is None:
        return ""
    layout = choice.fit.layout
    nodes = f" on {layout.nodes} nodes" if layout.nodes > 1 else ""
    return f"{layout.world} GPU{'s' if layout.world > 1 else ''}{nodes}"


def _methods(case: _Case) -> list[str]:
    """Ways of making the weights smaller that these GPUs can compute with."""
    if case.architecture.quantization or case.wish.quantization:
        return []
    return [method for method in ("fp8",) if capability_needed(method) <= case.group.gpu.capability]


def _quantized(case: _Case) -> str | None:
    """Smaller weights, with a shorter length if it must be."""
    for method in _methods(case):
        choice = case.on(quantization=method)
        fit = choice.fit
        if fit is None or (not choice.works and fit.longest < min(_USEFUL, fit.length)):
            continue
        with_length = "" if choice.works else f" with max_model_len: {fit.longest}"
        weights = f"{fit.weights / GIB:.1f} GiB of weights a GPU"
        return f"quantization: {method}{with_length} fits on {_holding(choice)} ({weights})"
    return None


def _shorter(case: _Case, nearest: Choice) -> str | None:
    fit = nearest.fit
    if fit is None or fit.longest < 1 or fit.cache.holds_one():
        return None
    return f"max_model_len: {fit.longest} fits on {_holding(nearest)}"


def _small_cache(case: _Case) -> str | None:
    if case.wish.kv_dtype != "auto" or case.group.gpu.capability < 8.9:
        return None
    choice = case.on(kv_dtype="fp8")
    return f"kv_cache_dtype: fp8 fits on {_holding(choice)}" if choice.works else None


def _fewer_requests(case: _Case) -> str | None:
    """Working memory grows with the requests that the engine samples at once."""
    if case.wish.max_num_seqs is not None and case.wish.max_num_seqs <= _FEW:
        return None
    choice = case.on(max_num_seqs=_FEW)
    return f"max_num_seqs: {_FEW} fits on {_holding(choice)}" if choice.works else None


def _fuller(case: _Case) -> str | None:
    if case.wish.utilization >= _HIGH or case.wish.kv_bytes is not None:
        return None
    choice = case.on(utilization=_HIGH)
    return f"gpu_memory_utilization: {_HIGH} fits on {_holding(choice)}" if choice.works else None


def _more_gpus(case: _Case) -> t.Iterator[str]:
    """The fewest GPUs of this kind, on nodes like these: as it is, and quantised where that needs fewer."""
    group = replace(case.group, nodes=max(_MOST_NODES, case.group.nodes))
    there, least = case.group.nodes * case.group.gpus, None
    for method in (None, *_methods(case)[:1]):
        choice = case.on(group=group, fixed={}, **({"quantization": method} if method else {}))
        layout = choice.fit.layout if choice.works and choice.fit else None
        if layout is None or (least is not None and layout.world >= least):
            continue
        least = layout.world
        lack = f", {layout.world - there} more than there are" if layout.world > there else ""
        beside = f" with quantization: {method}" if method else ""
        if layout.world > there or not method:
            yield f"{_holding(choice)} of type {group.gpu.type} fit{beside} ({layout.words()}){lack}"


def advice(architecture: Architecture, wish: Wish, files: int | None, nearest: Choice, fixed: Fixed) -> list[str]:
    """What would do, the smallest change first; or that nothing here does."""
    if nearest.group is None:
        return []
    case = _Case(architecture, wish, files, nearest.group, fixed)
    found = [
        _fewer_requests(case),
        _shorter(case, nearest),
        _fuller(case),
        _small_cache(case),
        _quantized(case),
        *_more_gpus(case),
    ]
    ways = [way for way in found if way]
    return ways or [f"nothing in the entry, on GPUs of type {nearest.group.gpu.type}: name a smaller model"]
