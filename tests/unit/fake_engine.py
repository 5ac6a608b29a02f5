# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake of a vLLM server: it speaks the few routes a check asks for and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import json
import threading
import typing as t
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-canary-0123456789"

Behaviour = Callable[[BaseHTTPRequestHandler], None]


class FakeEngine:
    """`answers` maps a path to (status, body), or to a function that gets the handler and misbehaves."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.reset(0)

    def reset(self, port: int) -> None:
        """Ready again, and nothing asked."""
        self.answers: dict[str, t.Any] = {
            "/health": (200, ""),
            "/version": (200, {"version": "0.32.0"}),
            "/v1/models": (200, {"object": "list", "data": [{"id": "phi3", "max_model_len": 256}]}),
            "/v1/completions": (200, {"choices": [{"text": " x"}], "usage": {"completion_tokens": 1}}),
            "/v1/embeddings": (200, {"data": [{"embedding": [0.1, 0.2]}]}),
        }
        self.key: str | None = None
        self.asked: list[tuple[str, str]] = []
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """Take the request and say nothing, until the test is over."""
        self.released.wait(10)
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a byte now and then, which keeps a socket's own timeout from ever firing."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not self.released.wait(0.02):
                handler.wfile.write(b" ")
        handler.close_connection = True

    def close(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    def redirect(self, location: str) -> Behaviour:
        """Send the client elsewhere, which it must refuse: it would carry the key there."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(307)
            handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return answer

    def babble(self, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        handler.close_connection = True


def _handler(engine: FakeEngine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            engine.asked.append((self.command, self.path))
            answer: Callable[[BaseHTTPRequestHandler], None] | tuple[int, t.Any]
            answer = engine.answers.get(self.path, (404, {"detail": "Not Found"}))
            if engine.key and self.path.startswith("/v1") and self.headers["Authorization"] != f"Bearer {engine.key}":
                answer = (401, {"error": "Unauthorized"})
            if callable(answer):
                answer(self)
                return
            status, value = answer
            body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 - the base class names it so
            """Tests read `asked`."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that hangs up in the middle is what many a test is about."""


@contextlib.contextmanager
def fake_engine() -> t.Iterator[FakeEngine]:
    engine = FakeEngine()
    with _Server(("127.0.0.1", 0), _handler(engine)) as server:
        engine.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield engine
        finally:
            engine.released.set()
            server.shutdown()
            thread.join()
