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
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .faults import ACTS, Fault, answer

_READS = re.compile(r"(Describe|Get|List|Head|Lookup|Search|Simulate|Decode|Assume)")
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class Call:
    service: str
    # Of a service without names for them: "PUT /bucket".
    action: str
    writes: bool
    fault: str = ""
    # Parameters of the request, and whose key signed it.
    words: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    key: str = field(default="", compare=False, repr=False)


@dataclass
class _Armed:
    """A fault and how far it has come."""

    fault: Fault
    seen: int = 0
    struck: str = ""

    # Of a fault that each call meets: how often the calls of this run and of those before have met it.
    met: Counter[str] = field(default_factory=Counter)
    spent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = self.fault.times

    def strikes(self, call: Call) -> bool:
        """Whether this call meets it."""
        if not _is_meant(self.fault, call):
            return False
        return self._strikes_each(call) if self.fault.each else self._strikes_one(call)

    def _strikes_each(self, call: Call) -> bool:
        name = f"{call.service} {call.action}" + (f" {_asked(call)}" if self.fault.each == "call" else "")
        if name in self.spent or self.met[name] >= self.fault.times:
            return False
        self.met[name] += 1
        return True

    def _strikes_one(self, call: Call) -> bool:
        fault, name = self.fault, f"{call.service} {call.action}"
        if not self.left or (self.struck and self.struck != name):
            return False
        if not self.struck:
            self.seen += 1
            if self.seen < fault.at:
                return False
            self.struck = name
        self.left -= 1
        return True


def _is_meant(fault: Fault, call: Call) -> bool:
    if fault.action not in (None, call.action) or (fault.writes and not call.writes) or (fault.reads and call.writes):
        return False
    return fault.words.items() <= call.words.items()


def _asked(call: Call) -> list[str]:
    """What a request says, without what is new in each, and in any order: its lists have none."""
    return sorted(value for name, value in call.words.items() if name not in ("ClientToken", "Action", "Version"))


class Proxy:
    """Serves in threads of this process while the block lasts."""

    def __init__(self, upstream: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.calls: list[Call] = []
        self._armed: list[_Armed] = []
        self._lock = threading.Lock()
        self._server = _Server((host, port), type("_OfThisProxy", (_Handler,), {"proxy": self}))

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

    def arm(self, *faults: Fault | None) -> None:
        """From now on these faults, counted anew; the calls so far are forgotten. Of several the first strikes."""
        with self._lock:
            self.calls = []
            self._armed = [_Armed(fault) for fault in faults if fault]

    def add(self, *faults: Fault) -> None:
        """These too."""
        with self._lock:
            self._armed += [_Armed(fault) for fault in faults]

    def forget(self) -> None:
        """The calls so far."""
        with self._lock:
            self.calls = []

    def next_run(self) -> None:
        """Calls that have met a fault that each meets meet it no more."""
        with self._lock:
            for armed in self._armed:
                armed.spent |= {name for name, times in armed.met.items() if times}

    def made(self, action: str) -> list[Mapping[str, str]]:
        """What the calls of an action said."""
        return [call.words for call in self.calls if call.action == action]

    @property
    def writes(self) -> list[str]:
        """The calls that change something, in their order: what a test of every fault goes through."""
        return [call.action for call in self.calls if call.writes]

    @property
    def struck(self) -> bool:
        """Whether the fault was met at all."""
        return any(call.fault for call in self.calls)

    def note(self, call: Call) -> Fault | None:
        """Write a call down and say what shall happen to it."""
        with self._lock:
            fault = next((armed.fault for armed in self._armed if armed.strikes(call)), None)
            self.calls.append(replace(call, fault=fault.kind) if fault else call)
            return fault


def writes(action: str) -> bool:
    method, _, path = action.partition(" ")
    return method not in ("GET", "HEAD") if path else not _READS.match(action)


def read(method: str, path: str, headers: Message, body: bytes) -> Call:
    """Which call a request is."""
    credential = _CREDENTIAL.search(headers.get("Authorization", ""))
    key, service = credential.groups() if credential else ("", "unknown")
    target = headers.get("X-Amz-Target", "")
    form = urllib.parse.parse_qs(body.decode("latin-1")) if b"Action=" in body[:4096] and not target else {}
    words = {name: values[0] for name, values in form.items()}
    action = target.rsplit(".", 1)[-1] or words.get("Action", f"{method} {path.partition('?')[0]}")
    return Call(service, action, writes(action), words=words, key=key)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A program that is out of time does not wait for its answer."""


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
        call = read(self.command, self.path, self.headers, body)
        fault = self.proxy.note(call)
        if fault and fault.kind == "cut":
            self._cut()
            return
        if fault and fault.kind not in ACTS:
            status, content_type, text = answer(fault, call.service)
            self._send(status, [("Content-Type", content_type)], text)
            return
        with _forwarded(self.proxy.upstream, self.command, self.path, dict(self.headers.items()), body) as found:
            text = found.read()
            if fault and fault.kind == "lose_answer":
                self._cut()
                return
            if fault:
                time.sleep(fault.seconds)
            self._send(found.status, found.getheaders(), text)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

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
