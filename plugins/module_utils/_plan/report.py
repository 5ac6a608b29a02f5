# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan for people and for programs. Private to this collection."""

from __future__ import annotations

import math
import typing as t
from collections.abc import Mapping

from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import Choice
from ansible_collections.llmops.cluster.plugins.module_utils._plan.fit import Fit, Model
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import GIB, MIB, Gpu
from ansible_collections.llmops.cluster.plugins.module_utils._plan.kv import token_bytes
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout, stages

# What a gp3 volume gives as it comes; taken where nobody measured.
ASSUMED_MIB_A_SECOND: t.Final = 125.0


def gib(number: float) -> str:
    """Bytes for people."""
    if number < GIB / 10:
        return f"{number / MIB:.1f} MiB"
    return f"{number / GIB:.2f} GiB" if number < 10 * GIB else f"{number / GIB:.1f} GiB"


def load_seconds(model: Model, layout: Layout, rate: float) -> float:
    """Time to read what the fullest node reads: a node of a pipeline reads its stages' part of the files."""
    on_node = max(1, min(layout.pipeline, -(-layout.pipeline // layout.nodes)))
    most = max(len(layers) for layers in stages(model.architecture.layers, layout.pipeline))
    share = min(1.0, on_node * most / model.architecture.layers)
    return model.files * share / (rate * MIB)


def _rate(measured: float | None) -> tuple[float, str]:
    return (measured, "measured") if measured else (ASSUMED_MIB_A_SECOND, "assumed")


def memory_of(fit: Fit, gpu: Gpu) -> dict[str, int]:
    """One GPU of the fullest stage, in bytes."""
    return {
        "total": gpu.memory,
        "budget": fit.budget,
        "weights": fit.weights,
        "working": fit.working,
        "cache": fit.cache_bytes,
    }


def cache_facts(model: Model, fit: Fit, element: int, block: int) -> dict[str, t.Any]:
    """The cache, as the engine will report it."""
    found = model.architecture
    layer = token_bytes(found, fit.layout.tensor, element)
    held = sum(kind != "stateless" for kind in found.attention)
    most = max(len(layers) for layers in stages(found.layers, fit.layout.pipeline))
    return {
        "block_size": block,
        "blocks": fit.cache.blocks,
        "bytes_per_token": layer * held,
        "bytes_per_token_of_gpu": layer * min(held, most),
        "tokens": fit.tokens,
        "concurrency": None if math.isinf(fit.concurrency) else round(fit.concurrency, 2),
        "longest": fit.longest,
    }


def facts(choice: Choice, element: int, block: int, rate: float | None) -> dict[str, t.Any]:
    """A choice as plain values."""
    model, fit, group = choice.model, choice.fit, choice.group
    speed, how = _rate(rate)
    found: dict[str, t.Any] = {
        "max_model_len": model.length,
        "dtype": model.dtype,
        "architecture": model.architecture.name,
        "quantization": model.weights.quantization.method if model.weights.quantization else None,
        "weights_bytes": model.weights.total(),
        "files_bytes": model.files,
        "problems": [problem.words() for problem in choice.problems],
        "warnings": list(choice.warnings),
        "reasons": list(choice.reasons),
    }
    if group:
        found["gpu"] = {"type": group.gpu.type, "memory": group.gpu.memory, "nvlink": group.gpu.nvlink}
        found["nodes"] = {"count": group.nodes, "gpus": group.gpus, "partitions": list(group.partitions)}
    if fit and group:
        found["layout"] = fit.layout.entry()
        found["memory"] = memory_of(fit, group.gpu)
        found["cache"] = cache_facts(model, fit, element, block)
        seconds = load_seconds(model, fit.layout, speed)
        found["load"] = {"seconds": round(seconds, 1), "mib_per_second": speed, "rate": how}
    return found


def _lines(plan: Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """Label and text of each line about the layout."""
    layout, memory, cache = plan["layout"], plan["memory"], plan["cache"]
    gpu, load = plan["gpu"], plan["load"]
    sizes = ", ".join(
        f"{name} {layout[key]}"
        for name, key in (
            ("tensor", "tensor_parallel_size"),
            ("pipeline", "pipeline_parallel_size"),
            ("data", "data_parallel_size"),
        )
        if layout[key] > 1
    )
    spread = ", experts spread" if layout["expert_parallel"] else ""
    nodes = f"{layout['nodes']} node{'s' if layout['nodes'] > 1 else ''}"
    where = f"{nodes} x {layout['gpus']} {gpu['type']}{': ' if sizes or spread else ''}{sizes}{spread}"
    cache_room = f"{gib(memory['cache'])} cache" if memory["cache"] >= 0 else f"{gib(-memory['cache'])} too much"
    cache_room = f"{'+' if memory['cache'] >= 0 else '-'} {cache_room}"
    room = f"{gib(memory['weights'])} weights + {gib(memory['working'])} working {cache_room}"
    lines = [("layout", where), ("a GPU", f"{room} = {gib(memory['budget'])} of {gib(memory['total'])}")]
    if cache["concurrency"] is not None:
        requests = f"{cache['concurrency']:.2f} requests of {plan['max_model_len']:,} tokens"
        lines.append(("cache", f"{cache['tokens']:,} tokens, {cache['bytes_per_token']:,} bytes each: {requests}"))
    speed = f"{load['mib_per_second']:g} MiB/s ({load['rate']})"
    lines.append(("load", f"{gib(plan['files_bytes'])} of files, about {load['seconds']:.0f} s at {speed}"))
    return lines


def _cpu_lines(plan: Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """Label and text of each line about a server on the CPU."""
    lines = [("weights", f"{plan['weights_bytes']:,} bytes, {plan['files_bytes']:,} in files")]
    cache = plan.get("cache")
    if cache:
        requests = f"{cache['concurrency']:.2f} requests of {plan['max_model_len']:,} tokens"
        lines.append(("cache", f"{cache['tokens']:,} tokens, {cache['bytes_per_token']:,} bytes each: {requests}"))
    return lines


def plan_text(plan: Mapping[str, t.Any]) -> str:
    """A plan as aligned text."""
    heads = {"planned": "fits", "refused": "refused", "unknown": "not planned", "measured": "runs on the CPU"}
    head = f"{plan['name']}: {heads[plan['state']]} ({plan['model_id']}"
    head += f", {plan['quantization'] or plan['dtype']})" if plan.get("dtype") else ")"
    lines = _lines(plan) if plan.get("layout") else (_cpu_lines(plan) if "weights_bytes" in plan else [])
    for label in ("reasons", "warnings", "problems", "advice"):
        lines += [
            ({"reasons": "why", "advice": "would do"}.get(label, label[:-1]), text) for text in plan.get(label, [])
        ]
    return "\n".join([head, *(f"  {label:<9} {text}" for label, text in lines)])
