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


class Queue(t.Protocol):
    """What is needed of a Slurm client."""

    def jobs_named(self, name: str | None, user: str | None) -> list[Job]: ...

    def batch_script(self, job_id: int) -> str | None: ...


def processes_with(blobs: Collection[str], proc: Path = PROC) -> list[str]:
    """Processes other than this one that have a blob open or mapped. A blob's name is its hash, so it is known by
    that, whatever path a container has it under."""
    found = []
    for folder in sorted((entry for entry in proc.iterdir() if entry.name.isdecimal()), key=lambda one: int(one.name)):
        if folder.name != str(os.getpid()) and any(Path(path).name in blobs for path in _open_files(folder)):
            found.append(f"process {folder.name} ({_read(folder / 'comm').strip()}) of this host")
    return found


def jobs_with(queue: Queue, user: str | None, repo_id: str, commit: str, others: Sequence[str]) -> list[str]:
    """Live jobs (of this user, or of all) whose script or submission names the revision."""
    found = []
    for job in {job.group: job for job in queue.jobs_named(None, user) if job.live}.values():
        script = queue.batch_script(job.job_id)
        where = f"job {job.group} ({job.name} of {job.user}, {job.state}{' on ' + job.nodes if job.nodes else ''})"
        if names(f"{script or ''}\n{job.submit_line}", repo_id, commit, others):
            found.append(where)
        elif script is None and has_script(job.submit_line):
            found.append(f"perhaps {where}, whose script Slurm does not show to this user")
    return found


def names(text: str, repo_id: str, commit: str, others: Sequence[str]) -> bool:
    """Whether a script means this revision: it has its commit, or the repository and the commit of no other revision
    that is here. A branch or tag may mean any of them."""
    if commit in text:
        return True
    folder = "models--" + repo_id.replace("/", "--")
    mentioned = any(re.search(rf"(?<![\w.-]){re.escape(name)}(?!\.?[\w-])", text) for name in (repo_id, folder))
    return mentioned and not any(other in text for other in others)


def has_script(submit_line: str) -> bool:
    """Jobs of salloc and of srun alone have none. An old Slurm does not tell how a job was submitted."""
    words = submit_line.split()
    return not words or os.path.basename(words[0]) == "sbatch"


def _open_files(process: Path) -> Iterator[str]:
    """Other users' processes show nothing to a user who is not root, and any process may be gone at any moment."""
    for link in _list(process / "fd"):
        with contextlib.suppress(OSError):
            yield os.readlink(process / "fd" / link).removesuffix(" (deleted)")
    for line in _read(process / "maps").splitlines():
        # address perms offset dev inode path
        yield line.split(maxsplit=5)[-1].removesuffix(" (deleted)")


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
