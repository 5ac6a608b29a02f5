"""An HTTP proxy before the emulator: it writes down each call, and lets one of them go wrong.

    with Emulator() as account, Proxy(account.url) as proxy:
        proxy.arm(Fault("lose_answer", action="RunInstances"))
        run_a_program(env=account.environment(proxy.url))
        print(proxy.calls)

botocore tries a call five times, amazon.aws most of them ten times with pauses up to a minute: a fault with `times=1`
is met by every program, and what it costs is a retry. Set AWS_MAX_ATTEMPTS=1 to see it without botocore's.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .faults import Fault, answer

_READS = re.compile(r"(Describe|Get|List|Head|Lookup|Search|Simulate|Decode|Assume)")
_CREDENTIAL = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class Call:
    service: str
    # Of a service without names for them: "PUT /bucket".
    action: str
    writes: bool
    fault: str = ""


class Proxy:
    """Serves in threads of this process while the block lasts."""

    def __init__(self, upstream: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.calls: list[Call] = []
        self._fault: Fault | None = None
        self._seen = 0
        self._left = 0
        self._struck = ""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), type("_OfThisProxy", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{str(host)}:{port}"

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def arm(self, fault: Fault | None) -> None:
        """From now on this fault, counted anew; the calls so far are forgotten."""
        with self._lock:
            self.calls = []
            self._fault, self._seen, self._struck = fault, 0, ""
            self._left = fault.times if fault else 0

    @property
    def writes(self) -> list[str]:
        """The calls that change something, in their order: what a test of every fault goes through."""
        return [call.action for call in self.calls if call.writes]

    @property
    def struck(self) -> bool:
        """Whether the fault was met at all."""
        return any(call.fault for call in self.calls)

    def note(self, service: str, action: str) -> Fault | None:
        """Write a call down and say what shall happen to it."""
        with self._lock:
            fault = self._due(service, action)
            self.calls.append(Call(service, action, writes(action), fault.kind if fault else ""))
            return fault

    def _due(self, service: str, action: str) -> Fault | None:
        fault = self._fault
        if not fault or not self._left:
            return None
        if not self._struck:
            if fault.action not in (None, action) or (fault.writes and not writes(action)):
                return None
            self._seen += 1
            if self._seen < fault.at:
                return None
            self._struck = f"{service} {action}"
        if self._struck != f"{service} {action}":
            return None
        self._left -= 1
        return fault


def writes(action: str) -> bool:
    method, _, path = action.partition(" ")
    return method not in ("GET", "HEAD") if path else not _READS.match(action)


def name_of(method: str, path: str, headers: Message, body: bytes) -> tuple[str, str]:
    """Service and action of a request."""
    credential = _CREDENTIAL.search(headers.get("Authorization", ""))
    service = credential.group(1) if credential else "unknown"
    target = headers.get("X-Amz-Target", "")
    if target:
        return service, target.rsplit(".", 1)[-1]
    form = urllib.parse.parse_qs(body[:4096].decode("latin-1")) if b"Action=" in body[:4096] else {}
    return service, form.get("Action", [f"{method} {path.partition('?')[0]}"])[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = _body(self)
        service, action = name_of(self.command, self.path, self.headers, body)
        fault = self.proxy.note(service, action)
        if fault and fault.kind != "lose_answer":
            status, content_type, text = answer(fault, service)
            self._send(status, [("Content-Type", content_type)], text)
            return
        with _forwarded(self.proxy.upstream, self.command, self.path, dict(self.headers.items()), body) as found:
            text = found.read()
            if fault:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._send(found.status, found.getheaders(), text)

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        # What a HEAD answers is the length of the body that it leaves out.
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: `calls` has it."""


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    found = b""
    while size := int(request.rfile.readline().split(b";")[0], 16):
        found += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return found


@contextmanager
def _forwarded(
    upstream: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> Iterator[http.client.HTTPResponse]:
    kept = {name: value for name, value in headers.items() if name.lower() not in (*_HOP_BY_HOP, "expect")}
    connection = http.client.HTTPConnection(upstream, timeout=300)
    try:
        connection.request(method, path, body=body, headers=kept)
        yield connection.getresponse()
    finally:
        connection.close()
