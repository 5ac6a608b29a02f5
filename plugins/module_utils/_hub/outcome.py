# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of hf_model found and did, and the one that finds all of it here."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._diff import DifferenceTracker
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import COMMIT, Choice, ModelFile, total_size

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache


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


def already_here(cache: ModelCache, revision: str, choice: Choice) -> Outcome | None:
    """The outcome if the revision is a commit and all of it is here: then nothing has to be asked of the hub."""
    files = cache.complete(revision, choice) if COMMIT.fullmatch(revision) else None
    return unchanged(cache, revision, files) if files else None


def unchanged(cache: ModelCache, commit: str, files: tuple[ModelFile, ...]) -> Outcome:
    return outcome_of(cache, commit, files, DifferenceTracker())


def outcome_of(
    cache: ModelCache,
    commit: str,
    files: tuple[ModelFile, ...],
    tracker: DifferenceTracker,
    to_download: int = 0,
    downloaded: int = 0,
) -> Outcome:
    return Outcome(
        changed=not tracker.empty,
        commit=commit,
        path=str(cache.snapshot(commit)),
        files=tuple(file.path for file in files),
        size=total_size(files),
        bytes_to_download=to_download,
        bytes_downloaded=downloaded,
        diff=tracker.before_after(),
    )
