# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with a model: the request, the stream of its answer, and the figures of both. Pure."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import plural

LONGEST_QUOTE = 300


@dataclass(frozen=True)
class Wish:
    """What is asked for beside the words themselves."""

    model: str
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Piece:
    """One event of a stream. `tokens` and `prompt_tokens` come with the last one, from engines that tell."""

    text: str = ""
    tokens: int | None = None
    prompt_tokens: int | None = None
    finish: str = ""
    error: str = ""


@dataclass
class Answer:
    """An answer as it comes in; times are seconds since the request was sent."""

    text: str = ""
    first: float | None = None
    last: float | None = None
    pieces: int = 0
    tokens: int | None = None
    prompt_tokens: int | None = None
    finish: str = ""

    def take(self, piece: Piece, seconds: float) -> None:
        if piece.text:
            self.first = seconds if self.first is None else self.first
            self.last = seconds
            self.pieces += 1
            self.text += piece.text
        self.tokens = piece.tokens if piece.tokens is not None else self.tokens
        self.prompt_tokens = piece.prompt_tokens if piece.prompt_tokens is not None else self.prompt_tokens
        self.finish = piece.finish or self.finish

    @property
    def counted(self) -> int:
        """Tokens as the engine counts them, else the pieces that came, which are tokens for most engines."""
        return self.pieces if self.tokens is None else self.tokens

    @property
    def rate(self) -> float | None:
        """Tokens per second after the first one; None where there was only one, or all came at once."""
        if self.first is None or self.last is None or self.counted < 2 or self.last <= self.first:
            return None
        return (self.counted - 1) / (self.last - self.first)

    def figures(self) -> dict[str, t.Any]:
        return {
            "tokens": self.counted,
            "prompt_tokens": self.prompt_tokens,
            "time_to_first_token": None if self.first is None else round(self.first, 3),
            "seconds": None if self.last is None else round(self.last, 3),
            "tokens_per_second": None if self.rate is None else round(self.rate, 1),
            "finish": self.finish,
        }

    def words(self) -> str:
        """The figures in one line."""
        if self.first is None:
            return "no token came"
        parts = [f"first token after {_seconds(self.first)}", plural(self.counted, "token")]
        if self.rate is not None:
            parts.append(f"{self.rate:.1f} tokens/s")
        if self.finish == "length":
            parts.append("cut at the limit of tokens")
        return ", ".join(parts)


def _seconds(number: float) -> str:
    return f"{number * 1000:.0f} ms" if number < 1 else f"{number:.1f} s"


@dataclass
class Conversation:
    """What was said so far, to be sent with each new question."""

    wish: Wish
    messages: list[dict[str, str]] = field(default_factory=list)

    def ask(self, question: str) -> dict[str, t.Any]:
        """The body of the request with one more question."""
        self.messages.append({"role": "user", "content": question})
        return request_body(self.wish, self.messages)

    def heard(self, answer: str) -> None:
        self.messages.append({"role": "assistant", "content": answer})

    def forget_last(self) -> None:
        """The question that got no answer is not sent again with the next one."""
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()


def request_body(wish: Wish, messages: list[dict[str, str]]) -> dict[str, t.Any]:
    body: dict[str, t.Any] = {
        "model": wish.model,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if wish.max_tokens is not None:
        body["max_tokens"] = wish.max_tokens
    if wish.temperature is not None:
        body["temperature"] = wish.temperature
    return body


def pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    """The events of a stream of server-sent events, up to its [DONE] or its end."""
    for raw in lines:
        line = raw.strip()
        if not line.startswith(b"data:"):
            continue
        data = line[len(b"data:") :].strip()
        if data == b"[DONE]":
            return
        piece = parse_piece(data)
        if piece is not None:
            yield piece


def parse_piece(data: bytes) -> Piece | None:
    """None of what is no event of a chat; one with `error` where the engine breaks off."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if "error" in value:
        return Piece(error=error_words(value))
    usage = value.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else None
    return Piece(
        text=text if isinstance(text, str) else "",
        tokens=_count(counts.get("completion_tokens")),
        prompt_tokens=_count(counts.get("prompt_tokens")),
        finish=choice.get("finish_reason") or "",
    )


def _count(value: t.Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def error_words(value: t.Any) -> str:
    """What a server says of its error, in one line."""
    error = value.get("error", value) if isinstance(value, dict) else value
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message).split())[:LONGEST_QUOTE]
