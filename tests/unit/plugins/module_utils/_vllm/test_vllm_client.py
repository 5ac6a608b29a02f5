# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault, HttpClient, Reply
from ansible_collections.llmops.cluster.tests.unit.fake_engine import KEY, fake_engine


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_answer_and_key() -> None:
    with fake_engine() as engine:
        engine.key = KEY
        assert isinstance(answer := HttpClient(engine.url, api_key=KEY).get("/v1/models", 5), Reply)
        assert (answer.status, answer.json()["data"][0]["id"]) == (200, "phi3")
        assert isinstance(answer := HttpClient(engine.url).get("/v1/models", 5), Reply)
        assert answer.status == 401
        assert isinstance(HttpClient(engine.url, api_key=KEY).post("/v1/completions", {"a": 1}, 5), Reply)
        assert HttpClient(engine.url).connect(5) is None


@pytest.mark.parametrize(("status", "seen"), [(200, [None]), (401, [None, f"Bearer {KEY}"])], ids=["engine", "gateway"])
def test_a_stranger_on_the_port_is_shown_no_key(status: int, seen: list[str | None]) -> None:
    keys: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        keys.append(handler.headers["Authorization"])
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with fake_engine() as engine:
        engine.answers["/health"] = answer
        HttpClient(engine.url, api_key=KEY).get("/health", 5)
    assert keys == seen


def test_base_path_of_a_gateway() -> None:
    with fake_engine() as engine:
        HttpClient(engine.url + "/llm/").get("/health", 5)
        assert engine.asked == [("GET", "/llm/health")]


def test_refused() -> None:
    client = HttpClient(f"http://127.0.0.1:{closed_port()}")
    expected = Fault("refused", "connection refused")
    assert (client.get("/health", 5), client.connect(5)) == (expected, expected)


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_no_request_takes_longer_than_allowed(behaviour: str) -> None:
    with fake_engine() as engine:
        engine.answers["/health"] = getattr(engine, behaviour)
        started = time.monotonic()
        fault = HttpClient(engine.url).get("/health", 0.3)
        seconds = time.monotonic() - started
    assert isinstance(fault, Fault)
    assert fault.kind == "timeout"
    assert seconds < 2.0


def test_port_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert client.connect(1) is None
        fault = client.get("/health", 0.2)
    assert isinstance(fault, Fault)
    assert fault.kind == "timeout"


@pytest.mark.parametrize(("behaviour", "kind"), [("close", "reset"), ("babble", "not_http")])
def test_other_faults(behaviour: str, kind: str) -> None:
    with fake_engine() as engine:
        engine.answers["/health"] = getattr(engine, behaviour)
        fault = HttpClient(engine.url).get("/health", 5)
    assert isinstance(fault, Fault)
    assert fault.kind == kind


def test_https_to_a_server_that_has_none() -> None:
    with fake_engine() as engine:
        fault = HttpClient(engine.url.replace("http:", "https:"), verify=False).get("/health", 5)
    assert isinstance(fault, Fault)
    assert fault.kind == "tls"


def test_https_to_a_port_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        fault = HttpClient(f"https://127.0.0.1:{silent.getsockname()[1]}").get("/health", 0.3)
        seconds = time.monotonic() - started
    assert fault == Fault("timeout", "no answer within 0.3 seconds")
    assert seconds < 2.0


def test_a_resolver_that_takes_its_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def slow(*_arguments: object, **options: object) -> list[object]:
        if options.get("flags"):
            raise socket.gaierror
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    fault = HttpClient("http://gpu1:8000").get("/health", 0.1)
    over.set()
    assert fault == Fault("no_route", "no address for the name gpu1 in time")


def test_ipv6() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    heard: list[bytes] = []

    def serve() -> None:
        peer, _address = server.accept()
        with peer:
            heard.append(peer.recv(4096))
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with server:
        port = server.getsockname()[1]
        threading.Thread(target=serve, daemon=True).start()
        answer = HttpClient(f"http://[::1]:{port}").get("/health", 5)
    assert isinstance(answer, Reply)
    assert f"Host: [::1]:{port}".encode() in heard[0]


def test_unknown_host() -> None:
    fault = HttpClient("http://no-such-host.invalid:8000").get("/health", 5)
    assert isinstance(fault, Fault)
    assert fault.kind == "no_route"
