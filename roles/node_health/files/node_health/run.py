# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs with a time limit. One that hangs, even where no signal reaches it, never hangs twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .checks import Outcome

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER")


class _Started(NamedTuple):
    process: subprocess.Popen[bytes]
    out: int
    err: int
    ends: float
    lock: str


class Runner:
    """Starts programs side by side and collects them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._started: dict[str, _Started] = {}
        self._done: dict[str, Outcome] = {}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._environment = {"PATH": _PATH, "LC_ALL": "C", **kept}

    def start(self, name: str, argv: Sequence[str], timeout: float) -> None:
        """Start a program; while an earlier one of this name has not ended in its time, none is started."""
        file_name = "".join(letter if letter.isalnum() else "_" for letter in name)
        path = os.path.join(self._folder, f"{file_name}.lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.truncate(lock, 0)
            except BlockingIOError:
                # Whoever found it late wrote since when. Without that it belongs to a prolog or a check beside this
                # one and may still end.
                since = os.read(lock, 64).decode()
                if since:
                    self._done[name] = Outcome("stuck", since=since)
                    return
                path = ""
            self._start(name, argv, timeout, lock, path)
        finally:
            # The program holds the lock now, for as long as it is there.
            os.close(lock)

    def _start(self, name: str, argv: Sequence[str], timeout: float, lock: int, path: str) -> None:
        out, err = os.memfd_create("out"), os.memfd_create("err")
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment,
                cwd="/",
                start_new_session=True,
                pass_fds=[lock],
            )
        except OSError as error:
            how = "missing" if isinstance(error, FileNotFoundError) else "ended"
            self._done[name] = Outcome(how, 127, err=str(error))
            return
        self._started[name] = _Started(process, out, err, time.monotonic() + timeout, path)

    def finish(self, name: str) -> Outcome:
        """How a started program ended; it is killed when its time is over."""
        if name in self._done:
            return self._done.pop(name)
        process, out, err, ends, lock = self._started.pop(name)
        try:
            process.wait(max(0.0, ends - time.monotonic()))
            how = "ended"
        except subprocess.TimeoutExpired:
            how = "late"
            # Before the signal: a lock that is free again may be another's by then.
            _note_late(lock)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # What waits in the kernel for a device does not die: it is left alone, and its lock with it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        return Outcome(how, process.returncode or 0, _text(out), _text(err))

    def run(self, name: str, argv: Sequence[str], timeout: float) -> Outcome:
        """Start a program and wait for it."""
        self.start(name, argv, timeout)
        return self.finish(name)

    def finish_all(self, names: Mapping[str, str]) -> dict[str, Outcome]:
        """The outcomes of several, by the keys of `names`."""
        return {key: self.finish(name) for key, name in names.items()}


def _note_late(lock: str) -> None:
    if lock:
        with open(lock, "w", encoding="ascii") as file:
            file.write(time.strftime("%d %b %H:%M"))


def _text(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read(2**20).decode("utf-8", "replace")
