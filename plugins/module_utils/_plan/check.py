# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Combinations that crash or hang in the field, refused before a job waits for GPUs. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import Architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import Gpu
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout
from ansible_collections.llmops.cluster.plugins.module_utils._plan.quantization import (
    ONLINE,
    capability_needed,
    online,
    same_method,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish

# Options that make a server one of several that balance from outside; dense models are refused with them.
_EXTERNAL: t.Final = ("--data-parallel-external-lb", "--data-parallel-multi-port-external-lb", "--data-parallel-rank")


@dataclass(frozen=True)
class Problem:
    """One thing that cannot be, by the key that says it."""

    key: str
    found: t.Any
    allowed: str
    advice: str

    def words(self) -> str:
        """The problem as a sentence."""
        return f"{self.key}: {self.found} found; allowed is {self.allowed}. {self.advice}"


def divisors(number: int, most: int = 1024) -> list[int]:
    """Divisors of a number, up to a bound."""
    return [value for value in range(1, min(number, most) + 1) if number % value == 0]


def _listed(numbers: t.Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)


def tensor_sizes(model: Architecture, most: int = 64) -> list[int]:
    """Tensor sizes whose cut leaves whole heads."""
    sizes = divisors(model.heads, most)
    if model.latent:
        return sizes
    return [size for size in sizes if model.kv_heads % size == 0 or size % model.kv_heads == 0]


def _heads(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    allowed = tensor_sizes(model)
    if layout.tensor in allowed:
        return
    whose = f"{model.heads} attention heads" + ("" if model.latent else f" and {model.kv_heads} key-value heads")
    yield Problem(
        "tensor_parallel_size",
        layout.tensor,
        f"one of {_listed(allowed)}, which cut the model's {whose} evenly",
        "Cut the rest of the GPUs with pipeline_parallel_size.",
    )


def _stages(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    if layout.pipeline > model.layers:
        yield Problem(
            "pipeline_parallel_size",
            layout.pipeline,
            f"at most {model.layers}, the layers of the model",
            "Use fewer stages, or tensor_parallel_size.",
        )


def _block(model: Architecture, wish: Wish) -> int | None:
    """The size that a cut through quantised matrices must keep whole."""
    found = model.quantization or (online(wish.quantization) if wish.quantization else None)
    if found is None:
        return None
    return max(found.block) if found.block else found.group


def _quantized_cut(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    block, experts = _block(model, wish), model.experts
    if not block or layout.tensor * layout.data == 1 or (model.quantization and "mxfp4" in model.quantization.method):
        return
    ranks = layout.tensor * layout.data
    if experts and not layout.expert and experts.width % (ranks * block):
        good = [size for size in divisors(max(experts.width // block, 1)) if experts.width % (size * block) == 0]
        yield Problem(
            "tensor_parallel_size",
            layout.tensor if layout.data == 1 else f"{layout.tensor} (with data_parallel_size {layout.data})",
            f"{' or '.join(str(size) for size in good)}: experts are {experts.width} wide, quantised in blocks of "
            f"{block}, and {experts.width}/{ranks} is no multiple of {block}",
            "Or set expert_parallel: true, which leaves each expert whole.",
        )
    dense = layout.tensor > 1 and (not experts or len(experts.layers) < model.layers)
    if dense and model.ffn_width % (layout.tensor * block):
        good = [size for size in tensor_sizes(model) if model.ffn_width % (size * block) == 0]
        yield Problem(
            "tensor_parallel_size",
            layout.tensor,
            f"one of {_listed(good)}: the layers are {model.ffn_width} wide, quantised in blocks of {block}",
            "Cut the rest of the GPUs with pipeline_parallel_size.",
        )


def _expert_parallel(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    if layout.expert and model.experts is None:
        yield Problem("expert_parallel", "true", "false: this model has no experts", "Leave the key out.")
    if wish.has("--enable-eplb") and not layout.expert:
        yield Problem(
            "extra_args", "--enable-eplb", "expert_parallel: true beside it", "Set the key, or leave the option out."
        )


def _data_parallel(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    if wish.backend == "rpc" and layout.data == 1:
        yield Problem(
            "backend",
            "rpc",
            "mp, or rpc with data_parallel_size of at least 2",
            "Remote calls join data parallel copies.",
        )
    if wish.balancing != "internal" and layout.data > 1 and model.experts is None:
        yield Problem(
            "data_parallel_balancing",
            wish.balancing,
            "internal: the engine refuses outside balancing for a model without experts",
            "Use replicas: each is a server and a job of its own.",
        )
    external = next((flag for flag in _EXTERNAL if wish.has(flag)), None)
    if external and model.experts is None:
        yield Problem(
            "extra_args",
            external,
            "internal balancing: the engine refuses outside balancing for a model without experts",
            "Use replicas: each is a server and a job of its own.",
        )
    if wish.has("--data-parallel-start-rank") and not wish.has("--headless"):
        yield Problem(
            "extra_args",
            "--data-parallel-start-rank",
            "the keys data_parallel_size and nodes",
            "Without --headless it silently changes how requests are balanced.",
        )
    if layout.nodes > 1 and layout.data > 1 and layout.data % layout.nodes and layout.nodes % layout.data:
        yield Problem(
            "data_parallel_size",
            layout.data,
            f"a multiple or a divisor of nodes, {layout.nodes}",
            "Each node must run the same number of copies, or each copy the same number of nodes.",
        )


def _length(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    most = model.max_length
    if wish.length and most and wish.length > most and dict(wish.env).get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") != "1":
        yield Problem(
            "max_model_len",
            wish.length,
            f"at most {most}, what the model's config.json gives",
            "The engine ends at its start with more.",
        )


def _method(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    asked, stored = wish.quantization, model.quantization
    if not asked:
        return
    if stored and not same_method(asked, stored.method):
        yield Problem(
            "quantization",
            asked,
            f"{stored.method}, which this checkpoint is stored in",
            "Leave the key out, or name another repository.",
        )
    elif stored is None and asked not in ONLINE:
        yield Problem(
            "quantization",
            asked,
            f"one of {', '.join(ONLINE)}, which the engine makes while it loads: the checkpoint is not quantised",
            f"Or name a repository that is stored in {asked}.",
        )


def _vision(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    if wish.vision and model.vision is None:
        yield Problem("vision", "true", "false: this model reads no images", "Leave the key out.")


def _cpu(model: Architecture, wish: Wish, layout: Layout) -> t.Iterator[Problem]:
    """What fails on the CPU although the server says that it is healthy."""
    if wish.device != "cpu":
        return
    if layout.pipeline > 1 and wish.eager and not wish.has("--compilation-config"):
        yield Problem(
            "pipeline_parallel_size",
            layout.pipeline,
            "1 with --enforce-eager on the CPU: every completion is an error while /health says 200",
            'Replace --enforce-eager by --compilation-config \'{"mode":"DYNAMO_TRACE_ONCE","backend":"eager"}\'.',
        )
    if layout.expert and layout.world > 1:
        yield Problem("expert_parallel", "true", "false on the CPU, where the engine crashes with it", "Leave it out.")
    if layout.tensor > 1 and layout.nodes == 1 and "VLLM_CPU_OMP_THREADS_BIND" not in dict(wish.env):
        yield Problem(
            "tensor_parallel_size",
            layout.tensor,
            "1 on the CPU unless VLLM_CPU_OMP_THREADS_BIND is set: the default binding needs a NUMA node a rank",
            "Set env: {VLLM_CPU_OMP_THREADS_BIND: nobind}.",
        )
    if model.head_width % 32 and not model.latent:
        yield Problem(
            "model_id",
            f"a model with heads of {model.head_width}",
            "one whose heads are a multiple of 32 wide on the CPU",
            "The first request would fail.",
        )


_CHECKS: t.Final = (
    _heads,
    _stages,
    _quantized_cut,
    _expert_parallel,
    _data_parallel,
    _length,
    _method,
    _vision,
    _cpu,
)


def layout_problems(model: Architecture, wish: Wish, layout: Layout) -> list[Problem]:
    """Everything about this cut of this model that the engine would not survive."""
    return [problem for check in _CHECKS for problem in check(model, wish, layout)]


def gpu_problems(model: Architecture, wish: Wish, gpu: Gpu) -> list[Problem]:
    """What GPUs of this kind cannot compute."""
    problems = []
    if wish.dtype == "bfloat16" and gpu.capability < 8.0:
        problems.append(
            Problem(
                "dtype",
                "bfloat16",
                f"auto or float16 on {gpu.type}, whose compute capability is {gpu.capability}",
                "bfloat16 needs 8.0.",
            )
        )
    method = wish.quantization or (model.quantization.method if model.quantization else "")
    needed = capability_needed(method)
    if needed > gpu.capability:
        problems.append(
            Problem(
                "quantization",
                method,
                f"a method that runs on {gpu.type} (compute capability {gpu.capability})",
                f"{method} needs {needed}: name another repository or other GPUs.",
            )
        )
    return problems


def layout_warnings(wish: Wish, gpu: Gpu | None, layout: Layout) -> list[str]:
    """What works and is probably not meant."""
    found = []
    if layout.nodes > 1 and layout.tensor > layout.gpus:
        found.append(
            f"tensor_parallel_size {layout.tensor} reaches over nodes with {layout.gpus} GPUs each: every layer waits "
            f"for the network. tensor_parallel_size {layout.gpus} and pipeline_parallel_size {layout.nodes} talk less."
        )
    if gpu and not gpu.nvlink and layout.tensor > 1 and layout.tensor <= layout.gpus:
        found.append(
            f"tensor_parallel_size {layout.tensor} on {gpu.type}, which has no NVLink: pipeline_parallel_size sends "
            "less between GPUs."
        )
    if layout.expert and layout.tensor * layout.data == 1:
        found.append("expert_parallel does nothing on one GPU.")
    return found
