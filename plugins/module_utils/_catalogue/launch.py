# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine of an entry is started: by itself, under a profiler, in a container. Private to this collection.

What stands around the engine's words is for roles/vllm_jobs/files/llmops_launch, which fills in job, node and rank.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

_Entry = Mapping[str, t.Any]


def contained(entry: _Entry) -> bool:
    """Whether an image brings the engine."""
    return entry["runtime"] != "venv"


def launch_faults(entry: _Entry) -> Iterable[str]:
    """Why a well formed entry cannot be started as it says."""
    runtime, image = entry["runtime"], entry["image"]
    if not contained(entry):
        if image:
            yield f"image: {image!r} found; allowed with runtime: venv is none, so name the runtime that runs it"
        return
    if not image:
        yield f"image is missing; needed with runtime: {runtime} is its name in a registry, or the path of its file"
    if entry["backend"] == "ray":
        yield f"runtime: {runtime} found; allowed with backend: ray is venv"
    if entry["profiler"] and runtime == "pyxis":
        yield "profiler found; allowed with runtime: pyxis is none, or another runtime"


def engine_program(entry: _Entry, site: Mapping[str, t.Any]) -> str:
    """The engine's command: in its environment, or wherever an image has it."""
    return "vllm" if contained(entry) else f"{site['venv']}/bin/vllm"


def engine_python(entry: _Entry, site: Mapping[str, t.Any]) -> list[str]:
    """The Python of the role's programs: nodes that run images need no engine of their own."""
    return ["python3" if contained(entry) else f"{site['venv']}/bin/python", "-B"]


def profiler_flags(entry: _Entry) -> list[str]:
    """Options of the engine that its profiler adds on the node."""
    return ["--profiler-config.profiler", "torch"] if entry["profiler"] in ("torch", "nsys") else []


def _read_only(entry: _Entry, site: Mapping[str, t.Any]) -> list[str]:
    """Folders of the node that the engine reads: the models, adapters that lie elsewhere, what the site names."""
    adapters = entry.get("lora_adapters") or {}
    elsewhere = [one["path"] for one in adapters.values() if one.get("path")]
    return list(dict.fromkeys([site["models_dir"], *elsewhere, *site["container_mounts"]]))


def _container_words(kind: str, entry: _Entry, site: Mapping[str, t.Any], names: Iterable[str]) -> list[str]:
    words = ["--runtime", entry["runtime"], "--image", entry["image"], "--shm-size", site["container_shm_size"]]
    words += ["--cuda"] if site["device"] == "cuda" else []
    for path in _read_only(entry, site):
        words += ["--read-only", path]
    if kind == "serve" and site["api_key_file"]:
        words += ["--key-file", site["api_key_file"]]
    for name in sorted(names):
        words += ["--pass", name]
    return words


def launch_words(kind: str, entry: _Entry, site: Mapping[str, t.Any]) -> list[str]:
    """What stands before the engine's words; nothing for an engine by itself."""
    profiler = entry["profiler"] if kind == "serve" else None
    through_srun = entry["runtime"] == "pyxis"
    if not profiler and (not contained(entry) or through_srun):
        return []
    words = [*engine_python(entry, site), f"{site['dir']}/llmops_launch", "--name", entry["name"]]
    if profiler:
        words += ["--profiler", profiler, "--profiles", f"{site['dir']}/profiles"]
    if contained(entry):
        words += _container_words(kind, entry, site, {*site["engine_env"], *entry["env"]})
    return [*words, "--"]


def _pyxis_image(image: str) -> str:
    """The image as enroot names it: a file by its path, else with # behind the registry."""
    registry, slash, rest = image.partition("/")
    if image.startswith("/") or not slash or not set(".:") & set(registry):
        return image
    return f"{registry}#{rest}"


def step_words(entry: _Entry, site: Mapping[str, t.Any]) -> list[str]:
    """Options of srun that put the step into a container; nothing where the step starts one itself."""
    if entry["runtime"] != "pyxis":
        return []
    folders = [f"{path}:{path}:ro" for path in _read_only(entry, site)]
    folders += [f"{site['api_key_file']}:{site['api_key_file']}:ro"] if site["api_key_file"] else []
    folders += [f"{site['cache_dir']}:{site['cache_dir']}"] if site["cache_dir"] else []
    return [
        f"--container-image={_pyxis_image(entry['image'])}",
        f"--container-mounts={','.join(folders)}",
        *("--container-workdir=/tmp", "--no-container-mount-home"),
    ]
