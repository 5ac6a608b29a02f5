# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a revision: processes of this host that have its files open, and live jobs of the cluster that name it.

An engine may close the files once they are in the GPU's memory, and may run on another host that shares the file
system; so open files alone do not tell, and the scripts of the queue's jobs are read as well.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
from collections.abc import Collection, Sequence
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

PROC = Path("/proc")
_TAKES_ARGUMENTS = re.compile(r"\$\{?[@*1-9]")


class Client(t.Protocol):
    """What is needed of a Slurm client."""

    def jobs_named(self, names: Sequence[str], user: str | None) -> list[Job]: ...

    def recorded(self, job_id: int) -> Job | None: ...

    def batch_script(self, job_id: int) -> str | None: ...


class Queue:
    """The live jobs of the cluster and what they run."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def live(self, user: str | None) -> list[Job]:
        """Jobs of this user, or of all; of an array one task, because all have one script."""
        return list({job.group: job for job in self._client.jobs_named([], user) if job.live}.values())

    def script(self, job: Job) -> str | None:
        """Empty for a job that has none, None for a script that is not shown."""
        return self._client.batch_script(job.job_id)

    def submission(self, job: Job) -> str:
        """The command that submitted it, as far as the controller or accounting tells."""
        recorded = None if job.submit_line else self._client.recorded(job.job_id)
        return recorded.submit_line if recorded else job.submit_line


def processes_with(blobs: Collection[Path], proc: Path = PROC) -> list[str]:
    """Processes other than this one that have one of these files open or mapped."""
    wanted = {blob.name: _identity(blob) for blob in blobs}
    found = []
    for folder in sorted((entry for entry in proc.iterdir() if entry.name.isdecimal()), key=lambda one: int(one.name)):
        if folder.name != str(os.getpid()) and any(_is(wanted[name], place) for name, place in _open(folder, wanted)):
            found.append(f"process {folder.name} ({_read(folder / 'comm').strip()}) of this host")
    return found


def jobs_with(queue: Queue, user: str | None, repo_id: str, commit: str, others: Sequence[str]) -> list[str]:
    """Live jobs whose script means the revision, or whose submission does where the script takes arguments."""
    found = []
    for job in queue.live(user):
        where = f"job {job.group} ({job.name} of {job.user}, {job.state}{' on ' + job.nodes if job.nodes else ''})"
        script = queue.script(job)
        if script is None:
            found.append(f"perhaps {where}, whose script Slurm does not show")
            continue
        text = script
        if not script or _TAKES_ARGUMENTS.search(script):
            text += "\n" + queue.submission(job)
        if names(text, repo_id, commit, others):
            found.append(where)
    return found


def names(text: str, repo_id: str, commit: str, others: Sequence[str]) -> bool:
    """Whether a script means this revision: it has its commit, or the repository and the commit of no other revision
    that is here. A branch or tag may mean any of them."""
    if commit in text:
        return True
    folder = "models--" + repo_id.replace("/", "--")
    mentioned = any(re.search(rf"(?<![\w.-]){re.escape(name)}(?!\.?[\w-])", text) for name in (repo_id, folder))
    return mentioned and not any(other in text for other in others)


def _open(process: Path, names: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Open and mapped files that are called so (a blob's name is its hash, whatever path a container has it under),
    and where the kernel gives access to each. Other users' processes show nothing to a user who is not root, and any
    process may be gone at any moment."""
    for link in _list(process / "fd"):
        with contextlib.suppress(OSError):
            name = os.path.basename(os.readlink(process / "fd" / link))
            if name in names:
                yield name, process / "fd" / link
    maps = _read(process / "maps")
    for line in maps.splitlines() if "/blobs/" in maps else ():
        # address perms offset dev inode path
        name = os.path.basename(line.split(maxsplit=5)[-1])
        if name in names:
            yield name, process / "map_files" / line.split(maxsplit=1)[0]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found.st_dev, found.st_ino


def _is(wanted: tuple[int, int] | None, place: Path) -> bool:
    """Not only called the same: another cache may hold the same content."""
    try:
        return wanted is not None and _identity(place) == wanted
    except OSError:
        # It cannot be told, so it may be.
        return True


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
