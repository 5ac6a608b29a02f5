# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a revision consists of: the hub's listing, the choice made from it and the manifest kept beside a snapshot."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
REPO_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)?")
REVISION = re.compile(r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*")
FORMAT = 2
CHUNK = 1024 * 1024

# What an engine needs to serve a model. Pickled weights (*.bin, *.pt) run code when they are read: only when asked for.
DEFAULT_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")


@dataclass(frozen=True)
class ModelFile:
    """A file of a revision. Large files are known by sha256, the others by the id git gives them."""

    path: str
    size: int
    oid: str
    sha256: str | None = None

    @property
    def blob(self) -> str:
        """The name of its content in the cache: what the hub sends as ETag."""
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Listing:
    """A revision as the hub knows it."""

    commit: str
    files: tuple[ModelFile, ...]


@dataclass(frozen=True)
class Choice:
    """Which files of a revision are wanted."""

    allow: tuple[str, ...] = DEFAULT_PATTERNS
    ignore: tuple[str, ...] = ()

    def select(self, files: Iterable[ModelFile]) -> tuple[ModelFile, ...]:
        return tuple(file for file in sorted(files, key=lambda file: file.path) if self._wants(file.path))

    def _wants(self, path: str) -> bool:
        return _matches(path, self.allow) and not _matches(path, self.ignore)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    # A trailing slash means the folder, as in the hub's own client.
    return any(fnmatch.fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern) for pattern in patterns)


@dataclass(frozen=True)
class Manifest:
    """A revision as the hub listed it, and which of its files were verified and published: enough to see without any
    network whether a choice of it is all there."""

    repo_id: str
    commit: str
    files: tuple[ModelFile, ...]
    here: frozenset[str]

    def dump(self) -> str:
        files = {
            file.path: {"size": file.size, "oid": file.oid, "here": file.path in self.here}
            | ({"sha256": file.sha256} if file.sha256 else {})
            for file in self.files
        }
        value = {"format": FORMAT, "repo_id": self.repo_id, "commit": self.commit, "files": files}
        return json.dumps(value, indent=2) + "\n"

    @classmethod
    def load(cls, text: str) -> Manifest | None:
        """None for what this version did not write: then the hub is asked, as if there were no manifest."""
        try:
            value: dict[str, t.Any] = json.loads(text)
            if value["format"] != FORMAT:
                return None
            files = tuple(
                ModelFile(path=path, size=entry["size"], oid=entry["oid"], sha256=entry.get("sha256"))
                for path, entry in value["files"].items()
            )
            here = frozenset(path for path, entry in value["files"].items() if entry["here"])
            return cls(repo_id=value["repo_id"], commit=value["commit"], files=files, here=here)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def invalid_name(repo_id: str, revision: str) -> str | None:
    """Why these cannot be names on a hub (and so must not become paths), or None."""
    if not REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id:
        return f"repo_id is {repo_id!r}; it must be organisation/name of letters, digits, '.', '_' and single '-'."
    if not REVISION.fullmatch(revision) or ".." in revision:
        return f"revision is {revision!r}; it must be a branch, a tag or a 40-digit commit."
    return None


def safe_path(path: t.Any) -> bool:
    """Whether a name that a hub gives to a file may become a path below the snapshot."""
    return isinstance(path, str) and "\0" not in path and not {"", ".", ".."}.intersection(path.split("/"))


def digest(path: Path, file: ModelFile) -> str:
    """The content's hash, of the kind the hub gives for this file."""
    if file.sha256:
        state = hashlib.sha256()
    else:
        # Git's own object id; it names content here, no safety rests on it.
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as source:
        while block := source.read(CHUNK):
            state.update(block)
    return state.hexdigest()


def total_size(files: Iterable[ModelFile]) -> int:
    return sum(file.size for file in files)
