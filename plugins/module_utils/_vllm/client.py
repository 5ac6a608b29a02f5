# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to an engine: one request, one answer or one named fault, and never longer than was allowed.

Proxies in the environment are not used: the question is whether this engine answers, not whether something does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

FaultKind = t.Literal["refused", "no_route", "reset", "timeout", "not_http", "tls"]

LONGEST_BODY = 4 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    seconds: float = 0.0

    def json(self) -> t.Any:
        """The body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Fault:
    """Why there was no HTTP answer."""

    kind: FaultKind
    detail: str


class Client(t.Protocol):
    """What the ladder needs of a connection."""

    def connect(self, timeout: float) -> Fault | None: ...

    def get(self, path: str, timeout: float) -> Reply | Fault: ...

    def post(self, path: str, body: dict[str, t.Any], timeout: float) -> Reply | Fault: ...


class HttpClient:
    """One engine or gateway, by its base address. Each request has a connection of its own."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        verify: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._verify = verify
        self._clock = clock

    def connect(self, timeout: float) -> Fault | None:
        try:
            socket.create_connection((self._host, self._port), timeout=timeout).close()
        except OSError as error:
            return fault_of(error, connected=False)
        return None

    def get(self, path: str, timeout: float) -> Reply | Fault:
        return self._request("GET", path, None, timeout)

    def post(self, path: str, body: dict[str, t.Any], timeout: float) -> Reply | Fault:
        return self._request("POST", path, json.dumps(body).encode(), timeout)

    def _request(self, method: str, path: str, body: bytes | None, timeout: float) -> Reply | Fault:
        started = self._clock()
        connection = self._connection(timeout)
        try:
            connection.connect()
        except (OSError, ssl.SSLError) as error:
            connection.close()
            return fault_of(error, connected=False)
        with _cut_after(connection, timeout) as cut:
            headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
            try:
                connection.request(method, self._prefix + path, body=body, headers=headers)
                response = connection.getresponse()
                content = response.read(LONGEST_BODY)
            except (OSError, http.client.HTTPException) as error:
                if cut.is_set():
                    return Fault("timeout", f"no answer within {timeout:.1f} seconds")
                return fault_of(error, connected=True)
            if cut.is_set():
                return Fault("timeout", f"no complete answer within {timeout:.1f} seconds")
        return Reply(status=response.status, body=content, seconds=self._clock() - started)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)


@contextlib.contextmanager
def _cut_after(connection: http.client.HTTPConnection, seconds: float) -> t.Iterator[threading.Event]:
    """End the connection when its time is over. A socket's own timeout starts anew with each byte that drips in."""
    cut = threading.Event()
    # Kept here: http.client gives up its reference once the server has announced to close.
    sock = connection.sock

    def end() -> None:
        cut.set()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield cut
    finally:
        timer.cancel()
        connection.close()


def fault_of(error: Exception, *, connected: bool) -> Fault:
    """Name what an exception of the socket or HTTP layer means."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    if isinstance(error, ssl.SSLError):
        return Fault("tls", text)
    if isinstance(error, TimeoutError):
        return Fault(
            "timeout" if connected else "no_route", "no answer in time" if connected else "no connection in time"
        )
    if isinstance(error, ConnectionRefusedError):
        return Fault("refused", "connection refused")
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return Fault("reset", "the connection was closed without a complete answer")
    if isinstance(error, http.client.HTTPException):
        return Fault("not_http", "what answers does not speak HTTP")
    return Fault("reset" if connected else "no_route", text)
