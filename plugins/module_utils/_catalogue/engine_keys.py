# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a model that tune its engine: what it answers, images, adapters, compiling. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.key import Key

RUNNERS: t.Final = ("auto", "generate", "pooling")
CONVERSIONS: t.Final = ("auto", "none", "embed", "classify")
# What the engine's option takes.
RANKS: t.Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)

ENGINE_KEYS: t.Final = (
    Key(
        "limit_mm_per_prompt",
        "dict",
        "Images, videos and audios that one request may bring. Memory is kept for as many; 0 loads no part for them.",
        "vLLM --limit-mm-per-prompt",
        default=(),
        allowed="a dictionary of image, video and audio with whole numbers from 0 to 999",
        reader="limits",
    ),
    Key(
        "runner",
        "str",
        "What the engine does with the model: generate text, or pool its numbers (embed, classify). Unset: what the "
        "model is made for.",
        "vLLM --runner",
        choices=RUNNERS,
        flag="--runner",
    ),
    Key(
        "convert",
        "str",
        "What a model that was made to generate is turned into, with runner: pooling. Unset: what it is made for.",
        "vLLM --convert",
        choices=CONVERSIONS,
        flag="--convert",
    ),
    Key(
        "lora_adapters",
        "dict",
        "LoRA adapters beside the model, by the names that clients ask for. Each from the hub (model_id and revision, "
        "downloaded like the model) or from a folder that every node has (path).",
        "vLLM --lora-modules",
        default=(),
        allowed="a dictionary of names (letters, digits, '.', '_', ':' and '-'), each with model_id and a revision of "
        "40 hexadecimal digits, or with an absolute path",
        defaultable=False,
        reader="adapters",
    ),
    Key(
        "max_lora_rank",
        "int",
        "Largest rank of an adapter. Unset: 16, the engine's own choice.",
        "vLLM --max-lora-rank",
        minimum=1,
        maximum=512,
        allowed=f"one of {', '.join(str(rank) for rank in RANKS)}",
        reader="rank",
    ),
    Key(
        "max_loras",
        "int",
        "Adapters that may work in one step; memory is kept for as many. Unset: all of the entry's.",
        "vLLM --max-loras",
        minimum=1,
        maximum=1024,
        unit="adapters",
    ),
    Key(
        "eager",
        "bool",
        "Neither compile nor capture graphs: starts sooner, answers slower. False says so where vllm_jobs_engine_args "
        "says otherwise. Unset: the engine compiles.",
        "vLLM --enforce-eager",
    ),
    Key(
        "optimization_level",
        "int",
        "How much the engine compiles, from 0 (nothing, like eager) to 3. Unset: 2, the engine's own choice.",
        "vLLM --optimization-level",
        minimum=0,
        maximum=3,
    ),
    Key(
        "cudagraph_capture_sizes",
        "list",
        "Sizes of batches for which GPU graphs are captured. Fewer start sooner and take less memory; larger batches "
        "run without. Unset: the engine's own choice.",
        "vLLM --cudagraph-capture-sizes",
        default=(),
        minimum=1,
        maximum=65536,
        allowed="a list of whole numbers from 1 to 65536",
        unit="requests or tokens of a step",
        reader="numbers",
    ),
)
