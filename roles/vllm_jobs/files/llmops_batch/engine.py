# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that answers: started here, asked over a socket file, ended with all its processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import typing as t

from .errors import BatchError

if t.TYPE_CHECKING:
    import threading

STOP_SECONDS = 20.0


class Socket(http.client.HTTPConnection):
    """HTTP over a socket in a folder of this user's own: no port to collide with, nobody else who could ask."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("engine", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str, method: str, url: str, body: bytes | None = None, timeout: float = 10.0) -> tuple[int, bytes]:
    connection = Socket(path, timeout)
    try:
        connection.request(method, url, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Engine:
    """The server, in a process group of its own, so that all of it can be ended."""

    def __init__(self, argv: list[str], path: str) -> None:
        self.path = path
        self._process = subprocess.Popen([*argv, "--uds", path], start_new_session=True)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_well(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self.alive:
                raise BatchError(70, f"The engine ended with status {self._process.returncode} while it was starting.")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(self.path, "GET", "/health")[0] == 200:
                    return
            stop.wait(0.5)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        # A server that was killed leaves its engine core behind, with the GPU's memory.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
