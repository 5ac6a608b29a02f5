# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model cache on disk: what is there, how a revision is published in one step, how it is removed.

models--org--name/blobs/<hash>                 content
models--org--name/snapshots/<commit>/<file>    links to blobs; the presence of this folder is what readers go by
models--org--name/refs/<name>                  a branch or tag: its commit
models--org--name/.llmops/fetching/<hash>      what came so far of a file
models--org--name/.llmops/verified/<hash>      files that are whole and right, until all are and become blobs
models--org--name/.llmops/manifests/<commit>.json
.locks/models--org--name/ticket-<number>       one writer at a time
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    COMMIT,
    Choice,
    Manifest,
    ModelFile,
    digest,
)


class ModelCache:
    """One repository in one cache. Only looks, but for the methods of the second half: these want the claim."""

    def __init__(self, cache_dir: Path, repo_id: str) -> None:
        self.cache_dir = cache_dir
        self.repo_id = repo_id
        self.folder = cache_dir / ("models--" + repo_id.replace("/", "--"))
        self.locks = cache_dir / ".locks" / self.folder.name
        self.blobs = self.folder / "blobs"
        self.work = self.folder / ".llmops"
        self.verified = self.work / "verified"
        self.fetching = self.work / "fetching"

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def part(self, file: ModelFile) -> Path:
        return self.fetching / file.blob

    def ref(self, revision: str) -> str | None:
        """The commit a branch or tag stands for here; a commit stands for itself."""
        if COMMIT.fullmatch(revision):
            return revision
        with contextlib.suppress(OSError, UnicodeDecodeError):
            commit = (self.folder / "refs" / revision).read_text("utf-8").strip()
            # Anything else must not become a path.
            return commit if COMMIT.fullmatch(commit) else None
        return None

    def refs_to(self, commit: str) -> list[str]:
        base = self.folder / "refs"
        paths = sorted(path for path in base.rglob("*") if path.is_file()) if base.is_dir() else []
        return [path.relative_to(base).as_posix() for path in paths if path.read_text("utf-8").strip() == commit]

    def commits(self) -> list[str]:
        """The revisions that readers can see."""
        folder = self.folder / "snapshots"
        return sorted(name for name in os.listdir(folder) if COMMIT.fullmatch(name)) if folder.is_dir() else []

    def knows(self, commit: str) -> bool:
        """Whether anything of this revision is here, a removal that was interrupted included."""
        places = (self.snapshot(commit), self._manifest_path(commit), self._trash(commit))
        return any(place.exists() for place in places) or bool(self.refs_to(commit))

    def manifest(self, commit: str) -> Manifest | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return Manifest.load(self._manifest_path(commit).read_text("utf-8"))
        return None

    def complete(self, commit: str, choice: Choice) -> tuple[ModelFile, ...] | None:
        """The files that this choice of this commit means, if they are all there and were verified."""
        manifest = self.manifest(commit)
        files = choice.select(manifest.files) if manifest else ()
        if manifest is None or not files or not manifest.here.issuperset(file.path for file in files):
            return None
        return None if self.damaged(commit, files) else files

    def damaged(self, commit: str, files: Iterable[ModelFile]) -> list[ModelFile]:
        """Files that a reader of the snapshot would miss or find to be another size or not the blob."""
        return [file for file in files if not self._is_linked(commit, file)]

    def lacking(self, files: Iterable[ModelFile]) -> list[ModelFile]:
        """The files whose content has to come from the hub, each content once."""
        found: dict[str, ModelFile] = {}
        for file in files:
            if file.size not in (_size(self.blobs / file.blob), _size(self.verified / file.blob)):
                found.setdefault(file.blob, file)
        return list(found.values())

    def is_bad(self, file: ModelFile) -> bool:
        """Whether the blob, which any program may have left, is not what its name says."""
        blob = self.blobs / file.blob
        return _size(blob) == file.size and digest(blob, file) != file.blob

    def to_come(self, files: Iterable[ModelFile]) -> int:
        """Bytes of these files that an interrupted run did not leave here."""
        return sum(file.size - min(_size(self.part(file)) or 0, file.size) for file in files)

    def promised_to_others(self, announced: dict[str, int]) -> int:
        """Bytes that other runs announced for their repositories in this cache and have not written yet."""
        promised = 0
        for name, needed in announced.items():
            places = [self.cache_dir / name / self.work.name / place.name for place in (self.fetching, self.verified)]
            promised += max(0, needed - sum(_size(file) or 0 for place in places for file in place.glob("*")))
        return promised

    def unused_blobs(self, without: str | None = None) -> list[str]:
        """Blobs that no snapshot links to, `without` left out of the snapshots."""
        used: set[str] = set()
        for link in (self.folder / "snapshots").rglob("*"):
            if link.is_symlink() and link.relative_to(self.folder / "snapshots").parts[0] != without:
                used.add(Path(os.readlink(link)).name)
        present = self.blobs.iterdir() if self.blobs.is_dir() else iter(())
        return sorted(blob.name for blob in present if blob.name not in used)

    def prepare(self, files: Iterable[ModelFile]) -> None:
        """Folders for what is to be fetched; parts of other files, which nobody asks for any more, make room."""
        for folder in (self.blobs, self.verified, self.fetching, self.folder / "snapshots"):
            folder.mkdir(parents=True, exist_ok=True)
        wanted = {file.blob for file in files}
        for part in self.fetching.iterdir():
            if part.name not in wanted:
                shutil.rmtree(part) if part.is_dir() else part.unlink()

    def accept(self, file: ModelFile) -> None:
        """Keep a fetched file if it is the right one. What lies in `verified` survives an interrupted run."""
        part = self.part(file)
        size, found = part.stat().st_size, digest(part, file)
        if (size, found) != (file.size, file.blob):
            part.unlink()
            raise HubError(
                kind="integrity",
                message=(
                    f"Verifying {file.path} of {self.repo_id} failed: expected {file.size} bytes with hash "
                    f"{file.blob}, got {size} bytes with hash {found}. The file was discarded; run again, and check "
                    "the endpoint if it repeats."
                ),
            )
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(self.verified / file.blob)

    def publish(self, manifest: Manifest, files: Iterable[ModelFile]) -> None:
        """Blobs, then the manifest, then the snapshot by one rename. Readers see all of `files` or none."""
        files = tuple(files)
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                (self.verified / file.blob).replace(self.blobs / file.blob)
        self._write(self._manifest_path(manifest.commit), manifest.dump())
        shutil.rmtree(self.verified, ignore_errors=True)
        shutil.rmtree(self.fetching, ignore_errors=True)
        # Last, because who finds the snapshot looks no further.
        if self.damaged(manifest.commit, files):
            self._link_snapshot(manifest.commit, files)

    def set_ref(self, revision: str, commit: str) -> None:
        if not COMMIT.fullmatch(revision):
            self._write(self.folder / "refs" / revision, commit)

    def remove(self, commit: str) -> None:
        """The snapshot by one rename, then what no other snapshot uses. The names go last: by them a run that was
        interrupted finds what is left to do."""
        trash = self._trash(commit)
        if self.snapshot(commit).is_dir():
            shutil.rmtree(trash, ignore_errors=True)
            self.work.mkdir(exist_ok=True)
            self.snapshot(commit).rename(trash)
        for name in self.unused_blobs():
            (self.blobs / name).unlink()
        self._manifest_path(commit).unlink(missing_ok=True)
        shutil.rmtree(trash, ignore_errors=True)
        for ref in self.refs_to(commit):
            (self.folder / "refs" / ref).unlink()
        self.work.mkdir(exist_ok=True)
        if self.has_leftovers():
            self.remove_leftovers()

    def has_leftovers(self) -> bool:
        """Whether the folder holds work of ours and nothing to read: a download or a removal that was interrupted."""
        snapshots = self.folder / "snapshots"
        if not self.folder.is_dir() or (snapshots.is_dir() and os.listdir(snapshots)):
            return False
        return self.work.is_dir() or not os.listdir(self.folder)

    def remove_leftovers(self) -> None:
        """Our folder of work goes last, so that an interrupted removal is known as one."""
        for place in self.folder.iterdir():
            if place != self.work:
                shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.rmtree(self.folder)

    def _manifest_path(self, commit: str) -> Path:
        return self.work / "manifests" / f"{commit}.json"

    def _trash(self, commit: str) -> Path:
        return self.work / f"removed-{commit}"

    def _is_linked(self, commit: str, file: ModelFile) -> bool:
        link = self.snapshot(commit) / file.path
        return link.is_symlink() and Path(os.readlink(link)).name == file.blob and _size(link) == file.size

    def _link_snapshot(self, commit: str, files: Iterable[ModelFile]) -> None:
        """Build the whole folder aside, with what else the present one has, and put it in place in one step."""
        target = self.snapshot(commit)
        staged = self.work / f"snapshot-{commit}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        for file in files:
            link = staged / file.path
            link.parent.mkdir(parents=True, exist_ok=True)
            # Relative to where the link will be, not to where it is made.
            link.symlink_to(os.path.relpath(self.blobs / file.blob, (target / file.path).parent))
        for other in _entries(target):
            copy = staged / other.relative_to(target)
            if not copy.is_symlink():
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.link(other, copy, follow_symlinks=False)
        if target.exists():
            exchange(staged, target)
            shutil.rmtree(staged)
        else:
            staged.rename(target)

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        temporary = self.work / f"new-{path.name}"
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)


def exchange(one: Path, other: Path) -> None:
    """Swap two folders: in one step where the kernel can do it there, else (NFS) with a moment in which `other` is
    not there."""
    with contextlib.suppress(AttributeError):
        swap = ctypes.CDLL(None).renameat2
        here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if swap(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(both)) == 0:
            return
    aside = one.with_name(f"{one.name}-old")
    shutil.rmtree(aside, ignore_errors=True)
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def free_bytes(path: Path) -> int:
    """What may still be written where `path` is or will be."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def _entries(folder: Path) -> Iterator[Path]:
    """All files and links below a folder."""
    for base, folders, names in os.walk(folder):
        for name in [*names, *(name for name in folders if Path(base, name).is_symlink())]:
            yield Path(base, name)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
