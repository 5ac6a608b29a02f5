# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of one model on one node, and the file that hands it to other nodes."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tarfile
from pathlib import Path, PurePosixPath

# Made anew by everybody, or about to be renamed; and what an engine notes of models without compiling anything.
_PASSING = (".lock", ".tmp")
_OTHER = {"__pycache__", "modelinfos"}


class UntrustedError(Exception):
    """What is in the file would be run as code, and somebody else may have written it."""


def files(root: Path) -> set[str]:
    """Names of the compiled files, relative to the cache."""
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _OTHER]
        for name in names:
            path = Path(folder, name)
            if not name.endswith(_PASSING) and path.is_file() and not path.is_symlink():
                found.add(str(path.relative_to(root)))
    return found


def check_owner(path: Path) -> None:
    """Compiled code is code: it must be this user's own, in a folder where nobody else can put another."""
    for one in (path, path.parent):
        seen = one.stat()
        if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o022:
            raise UntrustedError(f"{one} belongs to another user, or others may write it")


def _members(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members = archive.getmembers()
    for member in members:
        place = PurePosixPath(member.name)
        if not member.isfile() or place.is_absolute() or ".." in place.parts:
            raise UntrustedError(f"it holds {member.name!r}, which no cache has")
    return members


def unpack(seed: Path, root: Path) -> int:
    """Make the cache of what the file holds, all at once; the number of files."""
    check_owner(seed)
    root.parent.mkdir(parents=True, exist_ok=True)
    new = root.with_name(f".{root.name}.{os.getpid()}.new")
    try:
        with tarfile.open(seed) as archive:
            members = _members(archive)
            for member in members:
                source = archive.extractfile(member)
                target = new / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source is not None:
                    with source, target.open("wb") as sink:
                        shutil.copyfileobj(source, sink)
        there = {one.name for one in root.iterdir()} if root.is_dir() else set()
        if there and there <= _OTHER:
            # Notes of a start that compiled nothing stay beside it.
            for one in sorted(new.iterdir()):
                one.rename(root / one.name)
        else:
            # One that another job has begun to fill meanwhile stays, and this fails.
            new.rename(root)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return len(members)


def pack(root: Path, names: set[str], seed: Path) -> None:
    """Write the files of a cache into one file. Whoever reads finds the old one or the new one, whole."""
    seed.parent.mkdir(parents=True, exist_ok=True)
    new = seed.with_name(f".{seed.name}.{socket.gethostname()}.{os.getpid()}.new")
    try:
        with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(names):
                archive.add(root / name, arcname=name, recursive=False)
            # Shared file systems tell of a full disk when a file is closed.
        new.chmod(0o640)
        new.replace(seed)
    finally:
        new.unlink(missing_ok=True)
