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
import typing as t

from llmops_node.processes import Processes, adopt_orphans

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
    """The server, and whatever it starts: all of it is ended."""

    def __init__(self, argv: list[str], path: str) -> None:
        self.path = path
        adopt_orphans()
        self._processes = Processes()
        self._pid = self._processes.start([*argv, "--uds", path], os.environ)

    @property
    def alive(self) -> bool:
        return self._processes.status(self._pid) is None

    def wait_until_well(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self.alive:
                status = self._processes.status(self._pid)
                raise BatchError(70, f"The engine ended with status {status} while it was starting.")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(self.path, "GET", "/health")[0] == 200:
                    return
            stop.wait(0.5)

    def end(self) -> None:
        self._processes.signal(self._pid, signal.SIGTERM)
        self._processes.wait(self._pid, STOP_SECONDS)
        # A server that was killed leaves its engine core behind, with the GPU's memory.
        self._processes.end_all()
