# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks for jobs, so that two runs on one host do not submit at the same moment.

Only that: runs on two hosts are told apart by the key in the job's comment.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import LockError
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LOCK_DIRECTORY = "/run/lock"
# A replacement holds the lock until the old job is gone, KillWait and epilog included.
LOCK_SECONDS = 300.0
LOCKS = 64


def lock_paths(identities: Iterable[str], directory: str | None = None) -> list[str]:
    """The files to lock, in the order in which to lock them, so that two runs never wait for each other.

    Jobs share a few files: a run of a thousand jobs has no thousand files open, and that two jobs now and then wait for
    each other harms nobody. The caller's uid is in the name because the directory is shared.
    """
    if directory is None:
        directory = LOCK_DIRECTORY if os.access(LOCK_DIRECTORY, os.W_OK) else tempfile.gettempdir()
    numbers = {int(hashlib.sha256(identity.encode()).hexdigest(), 16) % LOCKS for identity in identities}
    return [os.path.join(directory, f"llmops-slurm-{os.geteuid()}-{number}.lock") for number in sorted(numbers)]


@contextlib.contextmanager
def job_locks(paths: Iterable[str], *, what: str, **times: t.Any) -> Iterator[None]:
    """Hold all of them."""
    with contextlib.ExitStack() as stack:
        for path in paths:
            stack.enter_context(job_lock(path, what=what, **times))
        yield


@contextlib.contextmanager
def job_lock(
    path: str,
    *,
    what: str,
    timeout: float = LOCK_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock. The file stays: removing it would let a third run lock another file of the same name.

    The commands that are run under it hold it too: an sbatch that outlives a killed run may still submit.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.set_inheritable(descriptor, True)
    except OSError as error:
        raise LockError(f"Locking {what} failed: {error}. Remove what stands at {path}.") from error

    def look() -> Seen[None]:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Seen(done=False, value=None)
        return Seen(done=True, value=None)

    try:
        Waiter(look, timeout=timeout, interval=0.2, clock=clock, sleep=sleep).wait()
        yield
    except WaitTimeoutError as error:
        raise LockError(
            f"Locking {what} failed: another run on this host has held {path} for {error.seconds:.0f} seconds. "
            "Wait for that run, or end it."
        ) from error
    finally:
        os.close(descriptor)
