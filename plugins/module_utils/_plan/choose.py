# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layout, and why; or why none, and what would do. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import Architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.check import (
    Problem,
    divisors,
    gpu_problems,
    layout_problems,
    layout_warnings,
    tensor_sizes,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.fit import Fit, Model, fit_of, settle_model
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import GIB, Gpu, Group
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish

# Engines over more nodes than this are planned by hand.
_MOST_NODES: t.Final = 32
# Bytes that the estimate of working memory may be wrong by.
_UNSURE: t.Final = 1.0 * GIB
# So much more must another cut hold to be taken instead of the usual one.
_WORTH_IT: t.Final = 1.5

Fixed = Mapping[str, int]
_NAMES: t.Final = {
    "nodes": "nodes",
    "gpus": "gpus",
    "tensor_parallel_size": "tensor",
    "pipeline_parallel_size": "pipeline",
    "data_parallel_size": "data",
    "expert_parallel": "expert",
}


@dataclass(frozen=True)
class Choice:
    """What was chosen on one group of nodes; or the nearest that did not do."""

    group: Group | None
    model: Model
    fit: Fit | None
    problems: list[Problem] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def works(self) -> bool:
        """Whether this can be submitted."""
        return not self.problems and self.fit is not None and self.fit.fits


def _agrees(layout: Layout, fixed: Fixed) -> bool:
    return all(getattr(layout, _NAMES[key]) == value for key, value in fixed.items())


def _cuts(model: Architecture, nodes: int, gpus: int, fixed: Fixed) -> t.Iterator[Layout]:
    """Cuts of one number of GPUs. Data parallel copies of a dense model are separate jobs, so only if asked for."""
    world = nodes * gpus
    tensors = [fixed["tensor_parallel_size"]] if "tensor_parallel_size" in fixed else tensor_sizes(model, world)
    for tensor in tensors:
        if world % tensor:
            continue
        for pipeline in divisors(world // tensor):
            data = world // tensor // pipeline
            if data > 1 and "data_parallel_size" not in fixed and (model.experts is None or pipeline > 1):
                continue
            spread = [False, True] if model.experts and tensor * data > 1 else [False]
            spread = [bool(fixed["expert_parallel"])] if "expert_parallel" in fixed else spread
            for expert in spread:
                layout = Layout(nodes, gpus, tensor, pipeline, data, expert)
                if _agrees(layout, fixed):
                    yield layout


def _sizes(group: Group, fixed: Fixed) -> list[tuple[int, int]]:
    """Nodes and GPUs of each, the fewest GPUs first, then the fewest nodes. Several nodes are taken whole."""
    most = min(group.nodes, fixed.get("nodes", _MOST_NODES))
    found = []
    for nodes in [fixed["nodes"]] if "nodes" in fixed else range(1, most + 1):
        counts = range(1, group.gpus + 1) if nodes == 1 or "nodes" in fixed else [group.gpus]
        counts = [fixed["gpus"]] if "gpus" in fixed else counts
        found += [(nodes, gpus) for gpus in counts if nodes <= group.nodes and gpus <= group.gpus]
    return sorted(found, key=lambda size: (size[0] * size[1], size[0]))


def _preference(layout: Layout, group: Group) -> tuple[int, ...]:
    """Small is good: tensor parallel inside nodes with NVLink, else pipelines; experts spread only with copies."""
    crosses = int(layout.tensor > layout.gpus)
    inner = layout.pipeline if group.gpu.nvlink else layout.tensor
    return crosses, int(layout.data > 1), inner, int(layout.expert != (layout.data > 1))


def _usual(layout: Layout, group: Group) -> bool:
    """Whether this is a cut that the links are made for. Others are looked at when none of these fits."""
    if not group.gpu.nvlink:
        return layout.tensor <= layout.gpus and layout.data == 1
    if layout.data > 1:
        return layout.tensor <= layout.gpus and layout.pipeline == 1 and layout.expert
    return layout.tensor <= layout.gpus and layout.pipeline == layout.nodes


def _best(fits: list[Fit], group: Group) -> tuple[Fit, Fit]:
    """The first by preference, and the one to take: one with data parallel copies if it holds far more."""
    first = min(fits, key=lambda fit: _preference(fit.layout, group))
    copies = [fit for fit in fits if fit.layout.data > 1] if group.gpu.nvlink else []
    most = max(copies, key=lambda fit: fit.tokens, default=first)
    return first, most if most.tokens >= _WORTH_IT * first.tokens else first


def _link_reason(layout: Layout, gpu: Gpu) -> str:
    if layout.tensor > 1 and not gpu.nvlink:
        return f"a pipeline alone does not fit, and as little tensor as will do: {gpu.type} has no NVLink"
    if layout.pipeline > 1 and not gpu.nvlink:
        return f"pipeline before tensor: {gpu.type} has no NVLink"
    if layout.tensor > 1 and layout.pipeline > 1 and layout.nodes > 1:
        return "tensor inside a node, pipeline across nodes"
    if layout.tensor > 1 and gpu.nvlink:
        return f"tensor inside a node: {gpu.type} has NVLink"
    return ""


def _why(group: Group, first: Fit, best: Fit, legal: list[Fit], fixed: Fixed) -> list[str]:
    layout = best.layout
    reasons = [f"{layout.world} GPU{'s are' if layout.world > 1 else ' is'} the fewest that hold weights and cache"]
    reasons = [] if "gpus" in fixed else reasons
    reasons += [f"given: {', '.join(f'{key} {value}' for key, value in fixed.items())}"] if fixed else []
    if layout.world == 1:
        return reasons
    if best.layout != first.layout:
        more = best.tokens / max(first.tokens, 1)
        reasons.append(f"{layout.words()} holds {more:.1f} times the tokens of {first.layout.words()}")
    reasons.append(_link_reason(layout, group.gpu))
    if layout.expert and layout.data == 1:
        reasons.append("experts spread, because cutting each of them would break its quantised blocks")
    near = [fit for fit in legal if fit.layout.tensor <= fit.layout.gpus]
    most = max(near, key=lambda fit: fit.tokens, default=best)
    if most.tokens >= _WORTH_IT * best.tokens:
        keys = ", ".join(f"{key} {value}" for key, value in most.layout.entry().items() if value not in (False, 1))
        reasons.append(
            f"{most.layout.words()} would hold {most.tokens:,} tokens, with more traffic; to have it: {keys}"
        )
    return [reason for reason in reasons if reason]


def _search(model: Model, wish: Wish, group: Group, fixed: Fixed) -> Choice:
    """The first size at which a usual cut fits, else the first at which any legal one does; else the nearest."""
    tried: list[Fit] = []
    wrong: list[Problem] = []
    sizes = []
    for nodes, gpus in _sizes(group, fixed):
        legal = []
        for layout in _cuts(model.architecture, nodes, gpus, fixed):
            problems = layout_problems(model.architecture, wish, layout)
            wrong = problems or wrong
            legal += [] if problems else [fit_of(model, wish, group.gpu, layout)]
        sizes.append(legal)
        tried += legal
        good = [fit for fit in legal if fit.fits and _usual(fit.layout, group)]
        if good:
            return _taken(model, wish, group, good, legal, fixed)
    for legal in sizes:
        good = [fit for fit in legal if fit.fits]
        if good:
            return _taken(model, wish, group, good, legal, fixed)
    nearest = max(tried, key=lambda fit: (fit.longest, fit.cache_bytes), default=None)
    return Choice(group, model, nearest, wrong if nearest is None else [])


def _tight(fit: Fit) -> list[str]:
    """What to know of a cache that is smaller than what the estimate of working memory may be wrong by."""
    if fit.cache_bytes >= _UNSURE or not fit.cache.blocks_a_request:
        return []
    left = f"only {fit.cache_bytes / GIB:.2f} GiB are left for the cache, and working memory is an estimate"
    return [f"{left}: a lower max_num_seqs or one GPU more makes it safe."]


def _taken(model: Model, wish: Wish, group: Group, good: list[Fit], legal: list[Fit], fixed: Fixed) -> Choice:
    """The choice among cuts of one size that fit."""
    first, best = _best(good, group)
    why = _why(group, first, best, legal, fixed)
    return Choice(group, model, best, [], why, layout_warnings(wish, group.gpu, best.layout) + _tight(best))


def _size_problems(group: Group, fixed: Fixed) -> list[Problem]:
    """Sizes that these nodes do not have, or that make no whole."""
    found = []
    for key, most in (("nodes", group.nodes), ("gpus", group.gpus)):
        if fixed.get(key, 1) > most:
            advice = "Give what is there, or leave the key out."
            found.append(Problem(key, fixed[key], f"at most {most}, for Slurm has {group.words()}", advice))
    return found


def choose_on(architecture: Architecture, wish: Wish, files: int | None, group: Group, fixed: Fixed) -> Choice:
    """The choice on one group of nodes."""
    model = settle_model(architecture, wish, files, group.gpu)
    problems = gpu_problems(architecture, wish, group.gpu) + _size_problems(group, fixed)
    if problems:
        return Choice(group, model, None, problems)
    choice = _search(model, wish, group, fixed)
    if choice.fit is None and not choice.problems:
        given = " x ".join(f"{key} {value}" for key, value in fixed.items())
        allowed = "sizes with tensor x pipeline x data = gpus x nodes"
        return replace(choice, problems=[Problem("sizes", given, allowed, "Leave one of them out.")])
    return choice


def choose(
    architecture: Architecture, wish: Wish, files: int | None, groups: t.Sequence[Group], fixed: Fixed
) -> Choice:
    """The choice on the nodes of the wished partition: fewest GPUs, then the smallest ones."""
    asked = set(wish.partition.split(",")) if wish.partition else set()
    usable = [group for group in groups if not group.partitions or not asked or asked & set(group.partitions)]
    choices = [choose_on(architecture, wish, files, group, fixed) for group in usable]
    if not choices:
        model = settle_model(architecture, wish, files, None)
        there = "; ".join(group.words() for group in groups) or "none"
        found = wish.partition or "no partition"
        problem = Problem("partition", found, f"one that has GPUs (Slurm has: {there})", "Name another partition.")
        return Choice(None, model, None, [problem])
    return min(choices, key=_rank)


def _rank(choice: Choice) -> tuple[float, ...]:
    if choice.group is None or choice.fit is None:
        return 2, 0, 0
    if not choice.works:
        return 1, -choice.fit.longest, -choice.fit.cache_bytes
    return 0, choice.fit.layout.world, choice.group.gpu.memory
