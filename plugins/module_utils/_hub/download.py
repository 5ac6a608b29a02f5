# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a revision of a model present in a cache, or absent from it: look, decide, act."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._diff import DifferenceTracker
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache, free_bytes
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    COMMIT,
    Choice,
    Listing,
    Manifest,
    ModelFile,
)

T = t.TypeVar("T")
PAUSES = (1.0, 4.0)
LONGEST_PAUSE = 60.0


class Client(t.Protocol):
    """What is needed of a hub."""

    def listing(self, repo_id: str, revision: str) -> Listing: ...

    def fetch(self, repo_id: str, commit: str, file: ModelFile, folder: t.Any) -> t.Any: ...


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    revision: str
    choice: Choice = field(default_factory=Choice)
    max_workers: int = 8
    reserve_bytes: int = 0
    lock_timeout: float = 3600.0
    check_mode: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was found and done; `bytes_to_download` is the plan, `bytes_downloaded` what came."""

    changed: bool
    commit: str | None
    path: str | None
    files: tuple[str, ...] = ()
    size: int = 0
    bytes_to_download: int = 0
    bytes_downloaded: int = 0
    diff: dict[str, t.Any] = field(default_factory=dict)


def ensure_present(
    cache: ModelCache, client: Client, request: Request, sleep: Callable[[float], None] = time.sleep
) -> Outcome:
    """The revision, published completely; nothing is asked of the hub if a pinned one is here already."""
    if COMMIT.fullmatch(request.revision) and (here := cache.complete(request.revision, request.choice)):
        return _unchanged(cache, here)
    listing = with_retries(lambda: client.listing(cache.repo_id, request.revision), sleep)
    wanted = _choose(cache, request, listing)
    if request.check_mode:
        return _plan(cache, request, wanted)
    if _is_current(cache, request, wanted):
        return _unchanged(cache, wanted)
    with cache.lock(request.lock_timeout, sleep=sleep):
        # Whoever held the lock may have brought it.
        if _is_current(cache, request, wanted):
            return _unchanged(cache, wanted)
        return _bring(cache, client, request, wanted, sleep)


def ensure_absent(cache: ModelCache, request: Request) -> Outcome:
    """Remove one revision and the content that no other revision uses."""
    commit = cache.ref(request.revision)
    manifest = cache.manifest(commit) if commit else None
    present = commit is not None and (manifest is not None or cache.snapshot(commit).is_dir())
    if commit is None or not present:
        return Outcome(changed=False, commit=None, path=None)
    tracker = DifferenceTracker()
    tracker.add("commit", commit, None)
    tracker.add("refs", cache.refs_to(commit), [])
    tracker.add("blobs", len(cache.unused_blobs(without=commit)), 0)
    if not request.check_mode:
        with cache.lock(request.lock_timeout):
            cache.remove(commit)
    return Outcome(changed=True, commit=commit, path=None, diff=tracker.before_after())


def with_retries(ask: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """A few tries with growing pauses for what may pass; the rest fails at once."""
    for pause in PAUSES:
        try:
            return ask()
        except HubError as error:
            if not error.transient:
                raise
            sleep(min(max(pause, error.retry_after or 0.0), LONGEST_PAUSE))
    return ask()


def _choose(cache: ModelCache, request: Request, listing: Listing) -> Manifest:
    files = request.choice.select(listing.files)
    if not files:
        message = (
            f"Choosing files of {cache.repo_id} at {listing.commit} failed: none of its {len(listing.files)} files "
            f"matches allow_patterns {', '.join(request.choice.allow)}. Check the patterns against the repository."
        )
        raise HubError(kind="files", message=message)
    return Manifest(repo_id=cache.repo_id, commit=listing.commit, choice=request.choice, files=files)


def _is_current(cache: ModelCache, request: Request, wanted: Manifest) -> bool:
    here = cache.complete(wanted.commit, wanted.choice)
    return here is not None and cache.ref(request.revision) == wanted.commit


def _differences(cache: ModelCache, request: Request, wanted: Manifest) -> DifferenceTracker:
    tracker = DifferenceTracker()
    before = cache.ref(request.revision)
    if before is not None and not cache.snapshot(before).is_dir():
        before = None
    tracker.add("commit", before, wanted.commit)
    for file in cache.damaged(wanted.commit, wanted.files):
        tracker.add(file.path, None, f"{file.size} bytes, {file.blob}")
    if cache.manifest(wanted.commit) != wanted:
        tracker.add("manifest", None, f"{len(wanted.files)} files, {wanted.size} bytes")
    return tracker


def _plan(cache: ModelCache, request: Request, wanted: Manifest) -> Outcome:
    tracker = _differences(cache, request, wanted)
    return _outcome(cache, wanted, tracker, to_download=sum(file.size for file in cache.absent_content(wanted.files)))


def _bring(
    cache: ModelCache, client: Client, request: Request, wanted: Manifest, sleep: Callable[[float], None]
) -> Outcome:
    tracker = _differences(cache, request, wanted)
    if cache.complete(wanted.commit, wanted.choice):
        # The branch or tag moved to a commit that is here already.
        cache.set_ref(request.revision, wanted.commit)
        return _outcome(cache, wanted, tracker)
    cache.discard_bad_blobs(wanted.files)
    todo = cache.absent_content(wanted.files)
    needed = sum(file.size for file in todo)
    check_space(needed, free_bytes(cache.cache_dir), request.reserve_bytes, str(cache.cache_dir), cache.repo_id)
    cache.prepare()
    _fetch_all(cache, client, request, wanted.commit, todo, sleep)
    cache.publish(wanted, request.revision)
    return _outcome(cache, wanted, tracker, to_download=needed, downloaded=needed)


def check_space(needed: int, free: int, reserve: int, path: str, repo_id: str) -> None:
    if needed and needed + reserve > free:
        message = (
            f"Downloading {repo_id} into {path} failed: {needed} bytes needed and {reserve} bytes to stay free, but "
            f"only {free} bytes are free. Make room, choose another cache_dir or lower reserve_bytes."
        )
        raise HubError(kind="disk", message=message)


def _fetch_all(
    cache: ModelCache,
    client: Client,
    request: Request,
    commit: str,
    todo: list[ModelFile],
    sleep: Callable[[float], None],
) -> None:
    def fetch(file: ModelFile) -> None:
        with_retries(lambda: cache.accept(client.fetch(cache.repo_id, commit, file, cache.fetching), file), sleep)

    with ThreadPoolExecutor(max_workers=request.max_workers) as pool:
        # The largest first, so that the last thread is not left alone with it.
        jobs = [pool.submit(fetch, file) for file in sorted(todo, key=lambda file: -file.size)]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _unchanged(cache: ModelCache, manifest: Manifest) -> Outcome:
    return _outcome(cache, manifest, DifferenceTracker())


def _outcome(
    cache: ModelCache, manifest: Manifest, tracker: DifferenceTracker, to_download: int = 0, downloaded: int = 0
) -> Outcome:
    return Outcome(
        changed=not tracker.empty,
        commit=manifest.commit,
        path=str(cache.snapshot(manifest.commit)),
        files=tuple(file.path for file in manifest.files),
        size=manifest.size,
        bytes_to_download=to_download,
        bytes_downloaded=downloaded,
        diff=tracker.before_after(),
    )
