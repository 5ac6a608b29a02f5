# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keys of engine_keys.py mean to the engine, and which of them contradict. Private to this collection."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator, Mapping, Sequence

_EAGER: t.Final = "--enforce-eager"


def task_of(entry: Mapping[str, t.Any]) -> str:
    """What kind of request proves that the model works; a pooling model is taken for one that embeds."""
    if entry["convert"] in ("embed", "classify"):
        return str(entry["convert"])
    return "embed" if entry["runner"] == "pooling" else "generate"


def model_folder(models_dir: str, model_id: str) -> str:
    """Where the cache keeps a repository."""
    return f"{models_dir}/models--{model_id.replace('/', '--')}"


def adapter_folders(entry: Mapping[str, t.Any], models_dir: str) -> dict[str, str]:
    """The folder of each adapter on the nodes, by the name that clients ask for."""
    return {
        name: adapter.get("path") or f"{model_folder(models_dir, adapter['model_id'])}/snapshots/{adapter['revision']}"
        for name, adapter in entry["lora_adapters"].items()
    }


def repositories(entries: Sequence[Mapping[str, t.Any]]) -> list[dict[str, str]]:
    """What entries need from the hub, models and adapters, each repository's revision once."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for entry in entries:
        needed = {entry["name"]: entry}
        adapters = {f"{entry['name']}, {name}": adapter for name, adapter in entry["lora_adapters"].items()}
        for name, one in {**needed, **adapters}.items():
            if "model_id" in one:
                place = (one["model_id"], one["revision"])
                found.setdefault(place, {"name": name, "model_id": place[0], "revision": place[1]})
    return list(found.values())


def adapters_at_once(entry: Mapping[str, t.Any]) -> int:
    """For how many adapters memory is kept."""
    return entry["max_loras"] or len(entry["lora_adapters"])


def adapter_options(entry: Mapping[str, t.Any], models_dir: str) -> list[str]:
    """The engine's words for adapters."""
    folders = adapter_folders(entry, models_dir)
    if not folders:
        return []
    options = ["--enable-lora", "--max-loras", str(adapters_at_once(entry))]
    if entry["max_lora_rank"] is not None:
        options += ["--max-lora-rank", str(entry["max_lora_rank"])]
    return [*options, "--lora-modules", *(f"{name}={folder}" for name, folder in folders.items())]


def media_options(entry: Mapping[str, t.Any]) -> list[str]:
    """The engine's words for images, videos and audios."""
    # Only what is false has to be said: a model that can read images does.
    options = ["--language-model-only"] if entry["vision"] is False else []
    limits = entry["limit_mm_per_prompt"]
    return [*options, "--limit-mm-per-prompt", json.dumps(limits, sort_keys=True)] if limits else options


def compile_options(entry: Mapping[str, t.Any], before: Sequence[str]) -> list[str]:
    """The engine's words for compiling. They follow those of the site (`before`), so that the entry decides."""
    eager, level, sizes = entry["eager"], entry["optimization_level"], entry["cudagraph_capture_sizes"]
    if eager is None and (level or sizes) and _EAGER in before:
        eager = False
    options = [] if eager is None else [_EAGER if eager else "--no-enforce-eager"]
    options += [] if level is None else ["--optimization-level", str(level)]
    return [*options, "--cudagraph-capture-sizes", *(str(size) for size in sizes)] if sizes else options


def _compile_faults(entry: Mapping[str, t.Any]) -> Iterator[str]:
    level, sizes = entry["optimization_level"], entry["cudagraph_capture_sizes"]
    if entry["eager"] and sizes:
        yield "cudagraph_capture_sizes: found beside eager: true, which captures no graphs; allowed is one of the two"
    if entry["eager"] and level:
        yield f"optimization_level: {level} found beside eager: true, which compiles nothing; allowed is one of the two"
    if level == 0 and sizes:
        yield (
            "cudagraph_capture_sizes: found beside optimization_level: 0, which captures no graphs; allowed is a level "
            "of 1 to 3, or no sizes"
        )
    most = entry["max_num_batched_tokens"]
    if most and sizes and sizes[-1] > most:
        yield f"cudagraph_capture_sizes: {sizes[-1]} found; allowed is at most max_num_batched_tokens, {most}"


def _adapter_faults(entry: Mapping[str, t.Any]) -> Iterator[str]:
    served = {entry["name"], entry["model_id"], *entry["served_model_name"]}
    for name in entry["lora_adapters"]:
        if name in served:
            yield f"lora_adapters: {name} found; allowed is a name that the model itself is not served under"


def _pooling_faults(entry: Mapping[str, t.Any]) -> Iterator[str]:
    convert, runner = entry["convert"], entry["runner"]
    if convert in ("embed", "classify") and runner == "generate":
        yield f"convert: {convert} found; allowed with runner: pooling, or without a runner"
    if entry["limit_mm_per_prompt"] and entry["vision"] is False:
        yield "limit_mm_per_prompt: found beside vision: false, which reads no images; allowed is one of them"


def lone_words(given: Mapping[str, t.Any]) -> list[str]:
    """What an entry itself says about adapters that it does not have; the defaults of all entries may."""
    if given.get("lora_adapters"):
        return []
    return [
        f"{name}: {given[name]} found without lora_adapters; allowed is to name the adapters, or to leave it out"
        for name in ("max_loras", "max_lora_rank")
        if name in given
    ]


def engine_faults(entry: Mapping[str, t.Any]) -> list[str]:
    """What a complete entry says to its engine that contradicts itself."""
    return [*_compile_faults(entry), *_adapter_faults(entry), *_pooling_faults(entry)]
