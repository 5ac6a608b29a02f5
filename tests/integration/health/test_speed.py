"""How soon, and how surely: the real engine while it loads, and while 32 clients keep it busy."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.request
from collections import Counter

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import fixed
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.watch import wait_ready

from tests.lab.client import api_key

from .conftest import Health

STARTS = 4
TARGET = Target("phi3")


def complete(url: str, key: str, tokens: int, timeout: float) -> None:
    body = {"model": "phi3", "prompt": "Question: What is Slurm?\nAnswer:", "max_tokens": tokens, "ignore_eos": True}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        answer.read()


class Watcher(threading.Thread):
    """Asks for a token every 20 ms, and remembers when the first one came: the moment that the engine was ready."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(daemon=True)
        self.url, self.key, self.ready = url, key, 0.0

    def run(self) -> None:
        while not self.ready:
            try:
                complete(self.url, self.key, 1, 60)
                self.ready = time.monotonic()
            except OSError:
                time.sleep(0.02)


@pytest.mark.slow
def test_ready_is_seen_within_a_second_and_never_before(health: Health) -> None:
    key, delays, probes = api_key(health), [], 0
    for _start in range(STARTS):
        with health.serving(options="--nodelist=gpu2") as server:
            health.node(server)
            url = health.url(server, "gpu2")
            watcher = Watcher(url, key)
            watcher.start()
            ladder = Ladder(fixed(url, HttpClient(url, api_key=key)), TARGET)
            looks: list[tuple[float, Verdict]] = []

            def look(ladder: Ladder = ladder, looks: list[tuple[float, Verdict]] = looks) -> None:
                while not looks or looks[-1][1].state != "ready":
                    begun = time.monotonic()
                    looks.append((begun, ladder.look(30)))
                    time.sleep(0.05)

            prober = threading.Thread(target=look, daemon=True)
            prober.start()
            own = Ladder(fixed(url, HttpClient(url, api_key=key)), TARGET)
            found = wait_ready(own, TARGET, name=url, timeout=300, interval=2, passes=1)
            seen = time.monotonic()
            watcher.join(60)
            prober.join(60)
            assert found.verdict.state == "ready"
            delays.append(seen - watcher.ready)
            probes += len(looks)
            # Whoever was told "ready" can have a token: the very next request gets one.
            complete(url, key, 1, 30)
            early = [one for one in looks if one[1].state == "ready" and one[0] < watcher.ready - 1.0]
            assert early == []
    print(f"ready seen - ready true, {STARTS} starts: {[round(one, 2) for one in delays]} s; {probes} probes beside")
    assert max(delays) <= 1.0


@pytest.mark.slow
# The engine takes 128 requests at a time; of 160 clients there is always one before us in the queue.
@pytest.mark.parametrize(
    ("clients", "probes", "request_timeout"),
    [pytest.param(32, 200, 30.0, id="32-clients"), pytest.param(160, 100, 1.0, id="more-than-it-takes")],
)
def test_a_busy_engine_is_never_called_dead(health: Health, clients: int, probes: int, request_timeout: float) -> None:
    key, over = api_key(health), threading.Event()
    with health.serving(options="--nodelist=gpu2") as server:
        health.node(server)
        url = health.url(server, "gpu2")
        wait_ready(
            Ladder(fixed(url, HttpClient(url, api_key=key)), TARGET),
            TARGET,
            name=url,
            timeout=300,
            interval=2,
            passes=1,
        )

        def load() -> None:
            # The server is cancelled at the end, in the middle of their requests.
            with contextlib.suppress(OSError, http.client.HTTPException):
                while not over.is_set():
                    complete(url, key, 200, 300)

        for client in [threading.Thread(target=load, daemon=True) for _client in range(clients)]:
            client.start()
        time.sleep(3)
        target = Target("phi3", request_timeout=request_timeout)
        states: Counter[str] = Counter()
        for _probe in range(probes):
            verdict = Ladder(fixed(url, HttpClient(url, api_key=key)), target).look(request_timeout)
            states[f"{verdict.state}{', busy' if verdict.busy else ''}{', cut' if verdict.cut else ''}"] += 1
        over.set()
    print(f"{probes} probes beside {clients} clients, request_timeout {request_timeout}: {dict(states)}")
    assert set(states) <= {"ready", "loading, busy", "loading, cut"}
