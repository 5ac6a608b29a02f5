# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of an answer and its figures, pure and over a socket."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.chat import (
    Answer,
    Conversation,
    Piece,
    Wish,
    pieces,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FAILED, KEY, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._manager.stream import stream
from ansible_collections.llmops.cluster.tests.unit import fake_engine


def event(text: str | None = None, **more: t.Any) -> bytes:
    choices = [] if text is None else [{"delta": {"content": text}, "finish_reason": None}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n"


USAGE = {"usage": {"completion_tokens": 5, "prompt_tokens": 3}}


def test_an_answer_with_its_figures() -> None:
    answer = Answer()
    lines = [event("It "), b"\n", event("turns"), event(None, **USAGE), b"data: [DONE]\n", event("never")]
    for piece, moment in zip(pieces(lines), (0.5, 0.9, 0.95), strict=False):
        answer.take(piece, moment)
    assert answer.text == "It turns"
    assert answer.figures() == {
        "tokens": 5,
        "prompt_tokens": 3,
        "time_to_first_token": 0.5,
        "seconds": 0.9,
        "tokens_per_second": 10.0,
        "finish": "",
    }
    assert answer.words() == "first token after 500 ms, 5 tokens, 10.0 tokens/s"


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        pytest.param(b": ping\n", None, id="comment"),
        pytest.param(b"data: {\n", None, id="no JSON"),
        pytest.param(b"data: []\n", None, id="no object"),
        pytest.param(b'data: {"choices": [{}]}\n', Piece(), id="nothing in it"),
        pytest.param(b'data: {"error": {"message": "too long"}}\n', Piece(error="too long"), id="error"),
        pytest.param(
            b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n', Piece(finish="length"), id="end"
        ),
    ],
)
def test_events(line: bytes, piece: Piece | None) -> None:
    assert list(pieces([line])) == ([piece] if piece else [])


def test_no_rate_of_a_single_token() -> None:
    answer = Answer()
    answer.take(Piece(text="Hi"), 0.2)
    assert (answer.rate, answer.words()) == (None, "first token after 200 ms, 1 token")
    assert Answer().words() == "no token came"


def test_a_conversation_remembers() -> None:
    talk = Conversation(Wish("phi3", max_tokens=8, temperature=0.0))
    talk.ask("Hello?")
    talk.heard("Hi.")
    body = talk.ask("Who?")
    assert [one["content"] for one in body["messages"]] == ["Hello?", "Hi.", "Who?"]
    assert (body["max_tokens"], body["temperature"], body["stream"]) == (8, 0.0, True)
    talk.forget_last()
    assert len(talk.messages) == 2


@pytest.fixture
def engine() -> Iterator[fake_engine.FakeEngine]:
    with fake_engine.fake_engine() as found:
        yield found


def ask(engine: fake_engine.FakeEngine, key: str | None = None, silence: float = 5.0) -> list[bytes]:
    return list(stream(engine.url, "/v1/chat/completions", {"model": "phi3"}, key=key, silence=silence))


def test_lines_come_through(engine: fake_engine.FakeEngine) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(event("Hi") + b"\n" + b"data: [DONE]\n\n")
        handler.close_connection = True

    engine.answers["/v1/chat/completions"] = answer
    assert [piece.text for piece in pieces(ask(engine))] == ["Hi"]


def test_a_wrong_key_is_said_as_such(engine: fake_engine.FakeEngine) -> None:
    engine.key = fake_engine.KEY
    with pytest.raises(ManagerError) as caught:
        ask(engine, key="sk-another")
    assert caught.value.exit is KEY
    assert caught.value.message == (
        f"Asking {engine.url}/v1/chat/completions failed: it answers 401, the API key is not the one that the server "
        "was started with. Set OPENAI_API_KEY or --api-key-file."
    )


def test_the_servers_own_words_are_shown(engine: fake_engine.FakeEngine) -> None:
    engine.answers["/v1/chat/completions"] = (400, {"error": {"message": "no chat\ntemplate"}})
    with pytest.raises(ManagerError) as caught:
        ask(engine)
    assert caught.value.message == f"Asking {engine.url}/v1/chat/completions failed: it answers 400: no chat template."


def test_silence_ends(engine: fake_engine.FakeEngine) -> None:
    engine.answers["/v1/chat/completions"] = engine.hang
    with pytest.raises(ManagerError) as caught:
        ask(engine, silence=0.2)
    assert caught.value.exit is FAILED
    assert "no answer in time" in caught.value.message
