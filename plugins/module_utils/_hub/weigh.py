# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model is and how much it weighs, without its weights. Private to this collection."""

from __future__ import annotations

import json
import os
import time
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import HubClient
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import ModelFile

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
# Indexes name each tensor: those of models with hundreds of experts have some megabytes.
MOST_JSON = 64 * 1024 * 1024
_BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Found:
    """One model: its configuration, the bytes of the weights an engine reads, the largest file of them."""

    commit: str
    config: dict[str, t.Any]
    weights_bytes: int | None
    largest: str | None = None


def weight_files(sizes: Mapping[str, int], index: t.Any) -> dict[str, int]:
    """The files that an engine reads, with their sizes.

    Repositories often hold the weights twice, in another layout (consolidated.*) or folder (original/): an index says
    which are meant; without one they are those of the top folder.
    """
    named = index.get("weight_map") if isinstance(index, Mapping) else None
    if isinstance(named, Mapping):
        wanted = {str(name) for name in named.values()}
        return {path: size for path, size in sizes.items() if path in wanted}
    top = {path: size for path, size in sizes.items() if "/" not in path and not path.startswith("consolidated")}
    for ending in (".safetensors", ".bin"):
        found = {path: size for path, size in top.items() if path.endswith(ending)}
        if found:
            return found
    return {}


def weigh(commit: str, sizes: Mapping[str, int], read: Callable[[str], t.Any]) -> Found:
    """One revision, given the sizes of its files and a way to read the small ones."""
    config = read(CONFIG)
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} holds no object")
    files = weight_files(sizes, read(INDEX) if INDEX in sizes else None)
    largest = max(files, key=lambda path: files[path], default=None)
    return Found(commit, config, sum(files.values()) or None, largest)


def in_cache(cache_dir: Path, repo_id: str, revision: str) -> Found | None:
    """The model in a cache, or None when it is not there."""
    cache = ModelCache(cache_dir, repo_id)
    commit = cache.ref(revision)
    folder = cache.snapshot(commit) if commit else None
    if commit is None or folder is None or not (folder / CONFIG).is_file():
        return None
    paths = (Path(base, name) for base, _folders, names in os.walk(folder) for name in names)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths if path.is_file()}
    return weigh(commit, sizes, lambda name: json.loads((folder / name).read_text("utf-8")))


def on_hub(client: HubClient, repo_id: str, revision: str) -> Found:
    """The model on a hub: its listing, which has all sizes, and two small files."""
    listing = client.listing(repo_id, revision)
    files = {file.path: file for file in listing.files}
    if CONFIG not in files:
        message = f"Reading {CONFIG} of {repo_id} failed: the repository has none. Check model_id and revision."
        raise HubError(kind="files", message=message)

    def read(name: str) -> t.Any:
        return json.loads(_content(client, repo_id, listing.commit, files[name]))

    return weigh(listing.commit, {path: file.size for path, file in files.items()}, read)


def _content(client: HubClient, repo_id: str, commit: str, file: ModelFile) -> bytes:
    if not 0 < file.size <= MOST_JSON:
        message = f"Reading {file.path} of {repo_id} failed: it has {file.size} bytes. Check model_id and revision."
        raise HubError(kind="integrity", message=message)
    stream = client.open(repo_id, commit, file, 0, file.size - 1)
    try:
        return b"".join(stream.blocks(file.size))
    finally:
        stream.close()


def disk_rate(path: Path, most: int, clock: Callable[[], float] = time.monotonic) -> float | None:
    """MiB a second from this file as its disk gives them: what the page cache holds of it is dropped first."""
    with path.open("rb", buffering=0) as source:
        os.posix_fadvise(source.fileno(), 0, most, os.POSIX_FADV_DONTNEED)
        begun, done = clock(), 0
        while done < most and (block := source.read(min(_BLOCK, most - done))):
            done += len(block)
        spent = clock() - begun
    return round(done / 2**20 / spent, 1) if done and spent > 0 else None
