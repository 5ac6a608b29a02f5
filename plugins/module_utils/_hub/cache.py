# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model cache on disk: what is there, how a revision is published in one step, how it is removed.

models--org--name/blobs/<hash>                 content
models--org--name/snapshots/<commit>/<file>    links to blobs; the presence of this folder is what readers go by
models--org--name/refs/<name>                  a branch or tag: its commit
models--org--name/.llmops/                     manifests, and what is on its way in or out
.locks/models--org--name/llmops.lock           one writer at a time
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    COMMIT,
    Choice,
    Manifest,
    ModelFile,
    digest,
)
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

LOCK_INTERVAL = 0.5


class ModelCache:
    """One repository in one cache."""

    def __init__(self, cache_dir: Path, repo_id: str) -> None:
        self.cache_dir = cache_dir
        self.repo_id = repo_id
        self.folder = cache_dir / ("models--" + repo_id.replace("/", "--"))
        self.blobs = self.folder / "blobs"
        self.work = self.folder / ".llmops"
        self.verified = self.work / "verified"
        self.fetching = self.work / "fetching"

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def ref(self, revision: str) -> str | None:
        """The commit a branch or tag stands for here; a commit stands for itself."""
        if COMMIT.fullmatch(revision):
            return revision
        with contextlib.suppress(OSError, UnicodeDecodeError):
            commit = (self.folder / "refs" / revision).read_text("utf-8").strip()
            # Anything else must not become a path.
            return commit if COMMIT.fullmatch(commit) else None
        return None

    def manifest(self, commit: str) -> Manifest | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return Manifest.load(self._manifest_path(commit).read_text("utf-8"))
        return None

    def complete(self, commit: str, choice: Choice) -> Manifest | None:
        """The manifest, if this choice of this commit is all there."""
        manifest = self.manifest(commit)
        if manifest is None or manifest.choice != choice or self.damaged(commit, manifest.files):
            return None
        return manifest

    def damaged(self, commit: str, files: tuple[ModelFile, ...]) -> list[ModelFile]:
        """Files that a reader of the snapshot would miss or find too short."""
        return [file for file in files if _size(self.snapshot(commit) / file.path) != file.size]

    def absent_content(self, files: tuple[ModelFile, ...]) -> list[ModelFile]:
        """The files whose content has to come from the hub, each content once."""
        found: dict[str, ModelFile] = {}
        for file in files:
            if file.size not in (_size(self.blobs / file.blob), _size(self.verified / file.blob)):
                found.setdefault(file.blob, file)
        return list(found.values())

    def discard_bad_blobs(self, files: tuple[ModelFile, ...]) -> None:
        """Content that other programs left is used only if it is what its name says."""
        for file in files:
            blob = self.blobs / file.blob
            if _size(blob) == file.size and digest(blob, file) != file.blob:
                blob.unlink()

    def prepare(self) -> None:
        # Half files of a killed run cannot be resumed by the client library and would lie here for ever.
        shutil.rmtree(self.fetching, ignore_errors=True)
        for folder in (self.blobs, self.verified, self.fetching, self.folder / "snapshots"):
            folder.mkdir(parents=True, exist_ok=True)

    def accept(self, fetched: Path, file: ModelFile) -> None:
        """Keep a fetched file if it is the right one. What lies in `verified` survives an interrupted run."""
        source = fetched.resolve()
        size, found = source.stat().st_size, digest(source, file)
        if (size, found) != (file.size, file.blob):
            source.unlink()
            raise HubError(
                kind="integrity",
                message=(
                    f"Verifying {file.path} of {self.repo_id} failed: expected {file.size} bytes with hash "
                    f"{file.blob}, got {size} bytes with hash {found}. The file was discarded; run again, and check "
                    "the endpoint if it repeats."
                ),
            )
        with source.open("rb") as handle:
            os.fsync(handle.fileno())
        source.replace(self.verified / file.blob)

    def publish(self, manifest: Manifest, revision: str) -> None:
        """Blobs, then the manifest, then the snapshot by one rename, then the name. Readers see all or nothing."""
        for file in manifest.files:
            with contextlib.suppress(FileNotFoundError):
                (self.verified / file.blob).replace(self.blobs / file.blob)
        self._write(self._manifest_path(manifest.commit), manifest.dump())
        self._link_snapshot(manifest)
        self.set_ref(revision, manifest.commit)
        shutil.rmtree(self.verified, ignore_errors=True)
        shutil.rmtree(self.fetching, ignore_errors=True)

    def set_ref(self, revision: str, commit: str) -> None:
        if not COMMIT.fullmatch(revision):
            self._write(self.folder / "refs" / revision, commit)

    def remove(self, commit: str) -> None:
        """The names first, then the snapshot by one rename, then what no other snapshot uses."""
        for ref in self.refs_to(commit):
            (self.folder / "refs" / ref).unlink()
        trash = self.work / f"removed-{commit}"
        shutil.rmtree(trash, ignore_errors=True)
        if self.snapshot(commit).is_dir():
            self.work.mkdir(exist_ok=True)
            self.snapshot(commit).rename(trash)
            shutil.rmtree(trash)
        self._manifest_path(commit).unlink(missing_ok=True)
        for name in self.unused_blobs():
            (self.blobs / name).unlink()
        if not any((self.folder / "snapshots").glob("*")):
            shutil.rmtree(self.folder)

    def refs_to(self, commit: str) -> list[str]:
        base = self.folder / "refs"
        paths = sorted(path for path in base.rglob("*") if path.is_file()) if base.is_dir() else []
        return [path.relative_to(base).as_posix() for path in paths if path.read_text("utf-8").strip() == commit]

    def unused_blobs(self, without: str | None = None) -> list[str]:
        """Blobs that no snapshot links to, `without` left out of the snapshots."""
        used: set[str] = set()
        for link in (self.folder / "snapshots").rglob("*"):
            if link.is_symlink() and link.relative_to(self.folder / "snapshots").parts[0] != without:
                used.add(Path(os.readlink(link)).name)
        present = self.blobs.iterdir() if self.blobs.is_dir() else iter(())
        return sorted(blob.name for blob in present if blob.name not in used)

    @contextlib.contextmanager
    def lock(
        self,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[None]:
        """One writer a repository and cache. The kernel drops the lock with its process, so none is ever left over."""
        path = self.cache_dir / ".locks" / self.folder.name / "llmops.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as handle:
            look: Callable[[], Seen[str]] = lambda: _try_lock(handle)  # noqa: E731 - a predicate of one expression
            try:
                Waiter(look, timeout=timeout, interval=LOCK_INTERVAL, clock=clock, sleep=sleep).wait()
            except WaitTimeoutError as error:
                message = (
                    f"Locking {self.repo_id} in {self.cache_dir} failed: {error.last or 'another run'} has been "
                    f"writing it for more than {timeout:g} seconds. Wait for that run to end, or raise lock_timeout."
                )
                raise HubError(kind="lock", message=message) from error
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {socket.gethostname()}")
            handle.flush()
            yield

    def _manifest_path(self, commit: str) -> Path:
        return self.work / "manifests" / f"{commit}.json"

    def _link_snapshot(self, manifest: Manifest) -> None:
        target = self.snapshot(manifest.commit)
        staged = self.work / f"snapshot-{manifest.commit}"
        shutil.rmtree(staged, ignore_errors=True)
        for file in manifest.files:
            link = staged / file.path
            link.parent.mkdir(parents=True, exist_ok=True)
            # Relative to where the link will be, not to where it is made.
            link.symlink_to(os.path.relpath(self.blobs / file.blob, (target / file.path).parent))
        if not target.exists():
            staged.rename(target)
            return
        # A snapshot that was damaged, or made by another program, or chosen more narrowly before: it is mended link by
        # link, each in one step, so that a server which already uses it never misses a file.
        for file in manifest.files:
            (target / file.path).parent.mkdir(parents=True, exist_ok=True)
            (staged / file.path).replace(target / file.path)
        shutil.rmtree(staged)

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        temporary = self.work / f"new-{path.name}"
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _try_lock(handle: t.TextIO) -> Seen[str]:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        return Seen(done=False, value=handle.read(200))
    return Seen(done=True, value="")


def free_bytes(path: Path) -> int:
    """What may still be written where `path` is or will be."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free
