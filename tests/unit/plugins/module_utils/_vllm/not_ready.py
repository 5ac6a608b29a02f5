# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a server says which is not ready, played by the fake engine; and probes of it, from a fixed seed."""

from __future__ import annotations

import contextlib
import json
import random
import typing as t
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Task, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import fixed
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.tests.unit.fake_engine import KEY, FakeEngine

# What a request of a probe may take. Short, for many a situation is silence.
LIMIT = 0.06
ROUTES = {"generate": "/v1/completions", "embed": "/v1/embeddings"}
EVERY_RUNG = ("/health", "/v1/models", "/v1/completions", "/v1/embeddings")
PAGE = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>It works!</body></html>"

Arrange = Callable[[FakeEngine, random.Random, str], None]


def answers(status: int, value: t.Any) -> Arrange:
    """The last rung gives this answer."""
    return lambda engine, _seed, route: engine.answers.update({route: (status, value)})


def behaves(name: str) -> Arrange:
    """The last rung does what the fake engine calls so."""
    return lambda engine, _seed, route: engine.answers.update({route: getattr(engine, name)})


def everywhere(status: int, value: t.Any) -> Arrange:
    return lambda engine, _seed, _route: engine.answers.update(dict.fromkeys(EVERY_RUNG, (status, value)))


def some_rung(name: str) -> Arrange:
    def arrange(engine: FakeEngine, seed: random.Random, route: str) -> None:
        engine.answers[seed.choice(["/health", "/v1/models", route])] = getattr(engine, name)

    return arrange


def models(value: t.Any) -> Arrange:
    return lambda engine, _seed, _route: engine.answers.update({"/v1/models": (200, value)})


def some_status(engine: FakeEngine, seed: random.Random, route: str) -> None:
    # A gateway need not let /health through, so anything below 500 there is not bad news.
    path = seed.choice(["/health", "/v1/models", route])
    lowest = 500 if path == "/health" else 201
    engine.answers[path] = (seed.choice([one for one in STATUSES if one >= lowest]), seed.choice(["", PAGE, {}]))


def cut_answer(engine: FakeEngine, seed: random.Random, route: str) -> None:
    """The right answer, ended somewhere in its middle, with or without saying so."""
    path = seed.choice(["/v1/models", route])
    whole = json.dumps(engine.answers[path][1])
    part = whole[: seed.randrange(len(whole))]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(part) if seed.random() < 0.5 else len(whole)))
        handler.end_headers()
        handler.wfile.write(part.encode())
        handler.close_connection = True

    engine.answers[path] = answer


def late_answer(engine: FakeEngine, seed: random.Random, route: str) -> None:
    """The right answer, after the time that it had."""
    right = json.dumps(engine.answers[route][1]).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        engine.released.wait(LIMIT * 2 + seed.random() * 0.1)
        with contextlib.suppress(OSError):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(right)))
            handler.end_headers()
            handler.wfile.write(right)
        handler.close_connection = True

    engine.answers[route] = answer


def sent_to_one_that_is_ready(engine: FakeEngine, seed: random.Random, route: str) -> None:
    path = seed.choice(["/v1/models", route])
    engine.answers["/ready" + path] = engine.answers[path]
    engine.answers[path] = engine.redirect(f"{engine.url}/ready{path}")


def other_key(engine: FakeEngine, _seed: random.Random, _route: str) -> None:
    engine.key = KEY + "-another"


def closed(engine: FakeEngine, _seed: random.Random, _route: str) -> None:
    engine.port = 1


STATUSES = (
    201,
    204,
    206,
    301,
    302,
    303,
    307,
    308,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    422,
    429,
    500,
    501,
    502,
    503,
    504,
)
TOKENS: list[t.Any] = [0, -1, None, True, "1", 0.5, [], {}]
SITUATIONS: dict[str, Arrange] = {
    "port closed": closed,
    "health 503": lambda engine, _seed, _route: engine.answers.update({"/health": (503, "")}),
    "any other status on any rung": some_status,
    "no model yet": models({"object": "list", "data": []}),
    "another model": models({"data": [{"id": "mistral"}]}),
    "a name that begins like ours": models({"data": [{"id": "phi3-mini"}, {"id": "PHI3"}, {"id": " phi3"}]}),
    "models that are none": models({"data": [{"name": "phi3"}]}),
    "models without end": models("[" * 200_000),
    "models of 5 MB": models(json.dumps({"data": [{"id": "x" * 5_000_000}]})),
    "200 and a web page": answers(200, PAGE),
    "200 and nothing": answers(200, ""),
    "200 and an error": answers(200, {"error": {"message": "CUDA error", "code": 500}}),
    "200 and a stream": answers(200, 'data: {"choices": [{"text": "x"}]}\n\ndata: [DONE]\n\n'),
    "200, and the model list again": answers(200, {"object": "list", "data": [{"id": "phi3"}]}),
    "200 and no use of tokens": answers(200, {"choices": [{"text": "x"}]}),
    "200 and a strange count": lambda engine, seed, route: engine.answers.update(
        {route: (200, {"choices": [{"text": ""}], "usage": {"completion_tokens": seed.choice(TOKENS)}})}
    ),
    "200 and no choice": answers(200, {"choices": [], "usage": {"completion_tokens": 1}}),
    "200 and a vector of nothing": answers(200, '{"data": [{"embedding": [NaN, NaN]}]}'),
    "a web page everywhere": everywhere(200, PAGE),
    "every rung 200 and empty": everywhere(200, ""),
    "redirect to one that is ready": sent_to_one_that_is_ready,
    "another key": other_key,
    "the completion hangs": behaves("hang"),
    "some rung hangs": some_rung("hang"),
    "some rung drips": some_rung("drip"),
    "some rung hangs up": some_rung("close"),
    "some rung is no HTTP": some_rung("babble"),
    "an answer cut short": cut_answer,
    "the right answer too late": late_answer,
}


@dataclass
class Tally:
    """What came of the probes."""

    probes: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    false_ready: list[str] = field(default_factory=list)
    missed_ready: list[str] = field(default_factory=list)


def probe(engine: FakeEngine, task: Task, limit: float) -> Verdict:
    client = HttpClient(engine.url, api_key=KEY)
    return Ladder(fixed(engine.url, client), Target("phi3", task=task, request_timeout=limit)).look(limit)


def probe_all(engine: FakeEngine, count: int, seed: int) -> Tally:
    """`count` probes of what is not ready, and after each tenth one of what is: a check that never says yes is none."""
    chance, tally = random.Random(seed), Tally()
    names = list(SITUATIONS)
    port = engine.port
    for number in range(count):
        name = names[number] if number < len(names) else chance.choice(names)
        task = t.cast(Task, chance.choice(list(ROUTES)))
        engine.reset(port)
        engine.key = KEY
        SITUATIONS[name](engine, chance, ROUTES[task])
        verdict = probe(engine, task, LIMIT)
        tally.probes[name] += 1
        tally.states[verdict.state] += 1
        if verdict.state == "ready":
            tally.false_ready.append(f"{number} {name} {task}: {verdict.detail}")
        if number % 10 == 0:
            engine.reset(port)
            verdict = probe(engine, task, 10.0)
            if verdict.state != "ready":
                tally.missed_ready.append(f"{number} {task}: {verdict}")
    engine.reset(port)
    return tally
