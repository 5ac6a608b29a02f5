# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a revision of a model present in a cache, or absent from it: look, decide, act."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._diff import DifferenceTracker
from ansible_collections.llmops.cluster.plugins.module_utils._hub import transfer
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache, free_bytes
from ansible_collections.llmops.cluster.plugins.module_utils._hub.claim import Claim, claim
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.fetch import Fetch
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    Choice,
    Listing,
    Manifest,
    ModelFile,
    total_size,
)
from ansible_collections.llmops.cluster.plugins.module_utils._hub.outcome import Outcome, outcome_of, unchanged

Sleep = Callable[[float], None]
# Who uses this revision: one text for each, empty for none.
FindUsers = Callable[[ModelCache, str], Sequence[str]]


class Client(transfer.Client, t.Protocol):
    """What is needed of a hub."""

    def listing(self, repo_id: str, revision: str) -> Listing: ...


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
class Wanted:
    """What that comes to: a commit, all that the hub has of it and the files that were chosen."""

    commit: str
    listing: tuple[ModelFile, ...]
    files: tuple[ModelFile, ...]


def ensure_present(cache: ModelCache, client: Client, request: Request, sleep: Sleep = time.sleep) -> Outcome:
    """The revision, published completely. For a pinned one that is here see `already_here`, which asks nobody."""
    listing = transfer.with_retries(lambda: client.listing(cache.repo_id, request.revision), sleep)
    wanted = _choose(cache, request, listing)
    if _is_current(cache, request, wanted):
        return unchanged(cache, wanted.commit, wanted.files)
    if request.check_mode:
        return _plan(cache, client, request, wanted, sleep)
    with claim(cache.locks, what=_what(cache), timeout=request.lock_timeout, sleep=sleep) as mine:
        # Whoever held it may have brought the revision.
        if _is_current(cache, request, wanted):
            return unchanged(cache, wanted.commit, wanted.files)
        return _bring(cache, client, request, wanted, mine, sleep)


def ensure_absent(cache: ModelCache, request: Request, find_users: FindUsers, sleep: Sleep = time.sleep) -> Outcome:
    """Remove one revision and the content that no other revision uses, unless somebody uses it."""
    if request.check_mode or not _is_here(cache, request):
        return _removal(cache, request, find_users)
    with claim(cache.locks, what=_what(cache), timeout=request.lock_timeout, sleep=sleep):
        # Only now: whoever held it may have brought or removed the revision.
        outcome = _removal(cache, request, find_users)
        if outcome.commit:
            cache.remove(outcome.commit)
        elif outcome.changed:
            cache.remove_leftovers()
    return outcome


def _is_here(cache: ModelCache, request: Request) -> bool:
    """Whether there is anything to remove, of the revision or of a download that was interrupted."""
    commit = cache.ref(request.revision)
    return cache.has_leftovers() or (commit is not None and cache.knows(commit))


def _removal(cache: ModelCache, request: Request, find_users: FindUsers) -> Outcome:
    """What removing comes to; raises if the revision is in use."""
    commit = cache.ref(request.revision)
    if commit is None or not cache.knows(commit):
        # No commit is known of a download that was interrupted, but its bytes are to go.
        leftovers = cache.has_leftovers()
        diff = {"before": {"leftovers": str(cache.folder)}, "after": {"leftovers": None}} if leftovers else {}
        return Outcome(changed=leftovers, commit=None, path=None, diff=diff)
    if users := find_users(cache, commit):
        message = (
            f"Removing {commit} of {cache.repo_id} from {cache.cache_dir} failed: it is in use by {'; '.join(users)}. "
            "End what uses it, then run this task again."
        )
        raise HubError(kind="in_use", message=message)
    tracker = DifferenceTracker()
    tracker.add("commit", commit, None)
    tracker.add("refs", cache.refs_to(commit), [])
    tracker.add("blobs", len(cache.unused_blobs(without=commit)), 0)
    return Outcome(changed=True, commit=commit, path=None, diff=tracker.before_after())


def _what(cache: ModelCache) -> str:
    return f"{cache.repo_id} in {cache.cache_dir}"


def _choose(cache: ModelCache, request: Request, listing: Listing) -> Wanted:
    files = request.choice.select(listing.files)
    if not files:
        message = (
            f"Choosing files of {cache.repo_id} at {listing.commit} failed: none of its {len(listing.files)} files "
            f"matches allow_patterns {', '.join(request.choice.allow)}. Check the patterns against the repository."
        )
        raise HubError(kind="files", message=message)
    return Wanted(commit=listing.commit, listing=listing.files, files=files)


def _is_current(cache: ModelCache, request: Request, wanted: Wanted) -> bool:
    here = cache.complete(wanted.commit, request.choice)
    return here == wanted.files and cache.ref(request.revision) == wanted.commit


def _differences(cache: ModelCache, request: Request, wanted: Wanted) -> DifferenceTracker:
    tracker = DifferenceTracker()
    before = cache.ref(request.revision)
    if before is not None and not cache.snapshot(before).is_dir():
        before = None
    tracker.add("commit", before, wanted.commit)
    for file in cache.damaged(wanted.commit, wanted.files):
        tracker.add(file.path, None, f"{file.size} bytes, {file.blob}")
    if cache.complete(wanted.commit, request.choice) != wanted.files:
        tracker.add("verified", None, f"{len(wanted.files)} files, {total_size(wanted.files)} bytes")
    return tracker


def _plan(cache: ModelCache, client: Client, request: Request, wanted: Wanted, sleep: Sleep) -> Outcome:
    tracker = _differences(cache, request, wanted)
    lacking = cache.lacking(wanted.files)
    if some := [file for file in lacking if file.size]:
        # Hubs list what they then do not give. One byte tells whether a run would get in.
        smallest = min(some, key=lambda file: file.size)
        transfer.with_retries(lambda: client.open(cache.repo_id, wanted.commit, smallest, 0, 0), sleep).close()
    return outcome_of(cache, wanted.commit, wanted.files, tracker, to_download=cache.to_come(lacking))


def _bring(cache: ModelCache, client: Client, request: Request, wanted: Wanted, mine: Claim, sleep: Sleep) -> Outcome:
    tracker = _differences(cache, request, wanted)
    here = cache.complete(wanted.commit, request.choice)
    if here == wanted.files:
        # The branch or tag moved to a commit that is here already.
        cache.set_ref(request.revision, wanted.commit)
        return outcome_of(cache, wanted.commit, wanted.files, tracker)
    todo = _to_fetch(cache, request, wanted)
    needed = cache.to_come(todo)
    mine.announce(total_size(todo))
    promised = cache.promised_to_others(mine.announced_by_others())
    check_space(cache, needed, free_bytes(cache.cache_dir), request.reserve_bytes, promised)
    cache.prepare(todo)
    downloaded = Fetch(cache, client, wanted.commit, mine, sleep).all(todo, request.max_workers)
    mine.check()
    cache.publish(_manifest(cache, wanted), wanted.files)
    cache.set_ref(request.revision, wanted.commit)
    return outcome_of(cache, wanted.commit, wanted.files, tracker, to_download=needed, downloaded=downloaded)


def _manifest(cache: ModelCache, wanted: Wanted) -> Manifest:
    """Another choice that was verified before stays so: the content of a commit does not change."""
    before = cache.manifest(wanted.commit)
    here = frozenset(file.path for file in wanted.files) | (before.here if before else frozenset())
    return Manifest(repo_id=cache.repo_id, commit=wanted.commit, files=wanted.listing, here=here)


def _to_fetch(cache: ModelCache, request: Request, wanted: Wanted) -> list[ModelFile]:
    """What is not here, and what is but has another hash than the hub says."""
    lacking = cache.lacking(wanted.files)
    rest = list({file.blob: file for file in wanted.files if file not in lacking}.values())
    with ThreadPoolExecutor(max_workers=request.max_workers) as pool:
        bad = [file for file, is_bad in zip(rest, pool.map(cache.is_bad, rest)) if is_bad]
    return lacking + bad


def check_space(cache: ModelCache, needed: int, free: int, reserve: int, promised: int) -> None:
    """`promised` is what other runs, of other repositories, are going to write into the same cache."""
    if needed and needed + reserve + promised > free:
        others = f", of which other downloads that are under way will take {promised}" if promised else ""
        message = (
            f"Downloading {cache.repo_id} into {cache.cache_dir} failed: {needed} bytes needed and {reserve} bytes to "
            f"stay free, but only {free} bytes are free{others}. Make room, choose another cache_dir or lower "
            "reserve_bytes."
        )
        raise HubError(kind="disk", message=message)
