# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""chat and test: requests as any OpenAI client sends them, with the figures that matter."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._manager.chat import Answer, Conversation, Wish, pieces
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    KEY,
    OK,
    USAGE,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.stream import stream
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import for_people
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Verdict, parse_models
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault, HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Climb, Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import Place
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.watch import ADVICE

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
    from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Task

PATH = "/v1/chat/completions"
TEST_QUESTION = "Say hello."
TEST_TOKENS = 32
STAGES = ("tcp", "http", "model", "completion")
STAGE_WORDS = {
    "tcp": "its port takes connections",
    "http": "it speaks HTTP and is healthy",
    "model": "it lists its model",
    "completion": "it answers a request",
}


@dataclass(frozen=True)
class Line:
    """Whom to ask: `name` for people, `model` for the request."""

    name: str
    url: str
    model: str
    key: str | None
    task: Task = "generate"
    job_id: int | None = None


def _line(context: Context, name: str | None) -> Line:
    """By the address that the user has, else by the record of the model's job."""
    args = context.args
    own = context.host.own_endpoint(args.base_url)
    # The service's key goes to the service's engines and to no address that somebody names.
    key = context.host.own_key(args.api_key_file) if own or args.api_key_file else context.host.service_key()
    if own:
        model = name or _first_model(own, key)
        return Line(model, own, model, key)
    if name is None:
        running = [found[0].name.removeprefix("vllm-serve-") for found in _running(context)]
        if len(running) != 1:
            raise ManagerError(f"Name a model. Models with a job: {', '.join(running) or 'none'}.", USAGE)
        name = running[0]
    script = context.host.script_that_answers(name)
    job = context.serving_job(script.name)
    place = context.place(job, key, script.port)
    model = name if name != script.name else place.model or (script.served[0] if script.served else name)
    return Line(name, place.url, model, key, script.task, job.job_id)


def _running(context: Context) -> list[t.Any]:
    jobs = context.all_jobs()
    return [found for name, found in jobs.items() if name.startswith("vllm-serve-") and found[0].phase == "running"]


def _first_model(url: str, key: str | None) -> str:
    reply = HttpClient(url, api_key=key).get("/v1/models", 10.0)
    if isinstance(reply, Fault):
        raise ManagerError(f"Asking {url} failed: {reply.detail}.")
    if reply.status in (401, 403):
        raise ManagerError(
            f"Asking {url}/v1/models failed: it answers {reply.status}. Set OPENAI_API_KEY or --api-key-file.", KEY
        )
    models = parse_models(reply.json()) if reply.status == 200 else None
    if models is None or not models.names:
        raise ManagerError(f"Asking {url}/v1/models failed: it answers {reply.status} and names no model.")
    return models.names[0]


def chat(context: Context) -> Exit:
    args = context.args
    line = _line(context, args.model)
    talk = Conversation(Wish(line.model, args.max_tokens, args.temperature))
    if args.system:
        talk.messages.append({"role": "system", "content": args.system})
    question = " ".join(args.question)
    if not question and not sys.stdin.isatty():
        question = sys.stdin.read().strip()
    if question:
        answer = _ask(context, line, talk, question)
        context.screen.result(
            {"model": line.model, "base_url": f"{line.url}/v1", "answer": answer.text, **answer.figures()}
        )
        return OK
    if context.screen.as_json or not sys.stdin.isatty():
        raise ManagerError("There is no question. Give it as words behind the model, or on standard input.", USAGE)
    return _converse(context, line, talk)


def _converse(context: Context, line: Line, talk: Conversation) -> Exit:
    with contextlib.suppress(ImportError):
        # Where it is there, the arrow keys work.
        importlib.import_module("readline")
    context.screen.note(
        context.screen.paint_err(f"{line.model} at {line.url}/v1. Ctrl-D ends, Ctrl-C cuts an answer.", "dim")
    )
    while True:
        try:
            question = input("You: ").strip()
        except (EOFError, KeyboardInterrupt):
            context.screen.say()
            return OK
        if not question:
            continue
        try:
            _ask(context, line, talk, question, name=line.name)
        except KeyboardInterrupt:
            context.screen.say()
            talk.forget_last()
        except ManagerError as error:
            context.screen.note(context.screen.paint_err(error.message, "red"))
            talk.forget_last()


def _ask(context: Context, line: Line, talk: Conversation, question: str, name: str = "") -> Answer:
    """One question. The answer is shown as it comes, its figures below it."""
    screen = context.screen
    body = talk.ask(question)
    answer = Answer()
    started = time.monotonic()
    if name:
        screen.write(screen.paint(f"{name}: ", "cyan"))
    for piece in pieces(stream(line.url, PATH, body, key=line.key, silence=context.args.timeout)):
        if piece.error:
            screen.say()
            raise ManagerError(f"Asking {line.name} failed in the middle of its answer: {piece.error}", FAILED)
        answer.take(piece, time.monotonic() - started)
        screen.write(printable(piece.text))
    if not answer.text.endswith("\n"):
        screen.write("\n")
    screen.note(screen.paint_err(answer.words(), "dim"))
    talk.heard(answer.text)
    return answer


def printable(text: str) -> str:
    """What a model says must not move the cursor or set the terminal's title."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


def test(context: Context) -> Exit:
    names = context.args.model or ([] if not context.args.all else context.host.script_names()["serve"])
    results = []
    code = OK
    for name in names or [None]:
        found, one = _test(context, name)
        results.append(one)
        code = code if found is OK else found
    context.screen.result({"tests": results})
    return code


def _test(context: Context, name: str | None) -> tuple[Exit, dict[str, t.Any]]:
    try:
        line = _line(context, name)
    except ManagerError as error:
        if context.args.all or len(context.args.model) > 1:
            context.screen.note(context.screen.paint_err(error.message, "red"))
            return error.exit, {"model": name, "ready": False, "msg": error.message}
        raise
    screen = context.screen
    screen.say(f"{screen.paint(line.name, 'bold')} at {line.url}/v1" + (f" (job {line.job_id})" if line.job_id else ""))
    verdict = _climb(line, context.args.timeout)
    _stages(context, verdict)
    facts: dict[str, t.Any] = {
        "model": line.model,
        "base_url": f"{line.url}/v1",
        "job_id": line.job_id,
        "ready": verdict.state == "ready",
        "state": verdict.state,
        "stage": verdict.stage,
        "detail": verdict.detail,
        "max_model_len": verdict.max_model_len,
    }
    if verdict.state != "ready":
        advice = for_people(ADVICE.get(verdict.state, ""))
        screen.note(f"  {advice}.")
        return (KEY if verdict.state == "auth_error" else FAILED), facts
    guarded = _guarded(line)
    if guarded is not None:
        _check(context, guarded, "it wants the API key" if guarded else "it answers without the API key")
        facts["guarded"] = guarded
    if line.task == "generate":
        facts |= _speed(context, line)
    return OK, facts


def _climb(line: Line, timeout: float) -> Verdict:
    client = HttpClient(line.url, api_key=line.key)
    target = Target(line.model, "completion", line.task, timeout)
    place = Place(line.url, client, line.model)
    return Climb(place, target, line.job_id is not None, time.monotonic() + timeout, timeout).climb()


def _stages(context: Context, verdict: Verdict) -> None:
    """What holds, up to what does not."""
    for stage in STAGES[: STAGES.index(verdict.stage) if verdict.stage in STAGES else 0]:
        _check(context, True, STAGE_WORDS[stage])
    if verdict.state == "ready":
        _check(context, True, f"{STAGE_WORDS['completion']} ({verdict.completion_seconds} s)")
    else:
        _check(context, False, f"{verdict.state}: {verdict.detail}")


def _check(context: Context, good: bool, words: str) -> None:
    mark = context.screen.paint("ok  ", "green") if good else context.screen.paint("FAIL", "red")
    context.screen.say(f"  {mark}  {words}")


def _guarded(line: Line) -> bool | None:
    """Whether the server refuses who has no key; None where there is none to have."""
    if not line.key:
        return None
    reply = HttpClient(line.url).get("/v1/models", 10.0)
    return None if isinstance(reply, Fault) else reply.status in (401, 403)


def _speed(context: Context, line: Line) -> dict[str, t.Any]:
    body = Conversation(Wish(line.model, TEST_TOKENS, 0.0)).ask(TEST_QUESTION)
    answer = Answer()
    started = time.monotonic()
    try:
        for piece in pieces(stream(line.url, PATH, body, key=line.key, silence=context.args.timeout)):
            answer.take(piece, time.monotonic() - started)
    except ManagerError as error:
        # A model without a chat template completes texts and takes no chats.
        _check(context, False, error.message)
        return {"chat": error.message}
    _check(context, answer.first is not None, f"it chats: {answer.words()}")
    return answer.figures()
