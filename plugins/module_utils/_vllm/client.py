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
# Asked before anything is known of who listens there, and free of a key in vLLM: only who asks for the key is shown it.
OPEN_PATHS = ("/health",)
# A host that is up takes a connection or refuses it at once; a packet lost on the way is sent again after 1 and 3 s.
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    seconds: float = 0.0
    location: str = ""

    def json(self) -> t.Any:
        """The body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            # A stranger may send brackets without end.
            return None

    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


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
        self._tls = _tls_context(verify) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._clock = clock

    def connect(self, timeout: float) -> Fault | None:
        found = self._open(self._clock() + timeout)
        if isinstance(found, Fault):
            return found
        found.close()
        return None

    def get(self, path: str, timeout: float) -> Reply | Fault:
        if path not in OPEN_PATHS:
            return self._request("GET", path, None, timeout)
        started = self._clock()
        found = self._request("GET", path, None, timeout, with_key=False)
        if not self._key or isinstance(found, Fault) or found.status not in (401, 403):
            return found
        return self._request("GET", path, None, started + timeout - self._clock())

    def post(self, path: str, body: dict[str, t.Any], timeout: float) -> Reply | Fault:
        return self._request("POST", path, json.dumps(body).encode(), timeout)

    def _request(
        self, method: str, path: str, body: bytes | None, timeout: float, *, with_key: bool = True
    ) -> Reply | Fault:
        started = self._clock()
        sock = self._open(started + timeout)
        if isinstance(sock, Fault):
            return sock
        connection = self._connection(sock)
        with _cut_after(sock, started + timeout - self._clock()) as cut:
            kind = {"Content-Type": "application/json"} if body is not None else {}
            headers = {"Accept": "application/json", **kind, **(self._key if with_key else {})}
            try:
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                connection.request(method, self._prefix + path, body=body, headers=headers)
                response = connection.getresponse()
                content = response.read(LONGEST_BODY)
            except (OSError, http.client.HTTPException) as error:
                if cut.is_set() or isinstance(error, TimeoutError):
                    return Fault("timeout", f"no answer within {timeout:.1f} seconds")
                return fault_of(error, connected=True)
            finally:
                connection.close()
            if cut.is_set():
                return Fault("timeout", f"no complete answer within {timeout:.1f} seconds")
        return Reply(
            status=response.status,
            body=content,
            seconds=self._clock() - started,
            location=response.getheader("Location") or "",
        )

    def _open(self, ends: float) -> socket.socket | Fault:
        """A connection to the first of the host's addresses that takes one, before our time ends."""
        ends = min(ends, self._clock() + CONNECT_SECONDS)
        addresses = _resolve(self._host, self._port, ends - self._clock())
        if isinstance(addresses, Fault):
            return addresses
        fault = Fault("no_route", f"the name {self._host} has no address")
        for family, kind, protocol, _name, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(max(ends - self._clock(), 0.05))
                sock.connect(address)
                sock.settimeout(None)
                if self._tls is None:
                    return sock
                return self._tls.wrap_socket(sock, server_hostname=self._host, do_handshake_on_connect=False)
            except OSError as error:
                sock.close()
                fault = fault_of(error, connected=False)
        return fault

    def _connection(self, sock: socket.socket) -> http.client.HTTPConnection:
        """One that uses `sock` as it is, and names the port in its Host header when it is not the usual one."""
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, context=self._tls)
        connection.sock = sock
        return connection


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _resolve(host: str, port: int, seconds: float) -> list[t.Any] | Fault:
    """The host's addresses. In a thread of its own: the resolver knows no time limit but that of its configuration."""
    with contextlib.suppress(OSError, UnicodeError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: list[list[t.Any] | Fault] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(fault_of(error, connected=False))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(seconds, 0.05))
    return found[0] if found else Fault("no_route", f"no address for the name {host} in time")


@contextlib.contextmanager
def _cut_after(sock: socket.socket, seconds: float) -> t.Iterator[threading.Event]:
    """End the connection when its time is over. A socket's own timeout starts anew with each byte that drips in."""
    cut = threading.Event()

    def end() -> None:
        cut.set()
        with contextlib.suppress(OSError):
            # Not the method of an SSLSocket: that one waits for what it reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield cut
    finally:
        timer.cancel()


def fault_of(error: Exception, *, connected: bool) -> Fault:
    """Name what an exception of the socket or HTTP layer means."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return Fault("no_route", f"the name of the host is not known here ({text})")
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
