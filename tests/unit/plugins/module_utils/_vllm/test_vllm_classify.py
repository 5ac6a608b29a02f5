# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm import classify
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Models, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Fault, Reply


def reply(status: int, value: t.Any = "") -> Reply:
    return Reply(status=status, body=(value if isinstance(value, str) else json.dumps(value)).encode())


TOKEN = {"usage": {"completion_tokens": 1}, "choices": [{"text": "x"}]}


@pytest.mark.parametrize(
    ("job", "state"),
    [("pending", "pending"), ("ended", "job_failed"), ("running", None), ("unknown", None)],
)
def test_job(job: t.Any, state: str | None) -> None:
    verdict = classify.of_job(JobSeen(job, "job 7", log="\nlog"))
    assert (verdict and (verdict.state, verdict.stage, verdict.detail)) == (state and (state, "job", "job 7"))


@pytest.mark.parametrize(
    ("kind", "job_runs", "state", "stage"),
    [
        ("refused", False, "unreachable", "tcp"),
        ("refused", True, "starting", "tcp"),
        ("reset", False, "unreachable", "completion"),
        ("reset", True, "starting", "completion"),
        ("no_route", True, "unreachable", "tcp"),
        ("tls", True, "unreachable", "tcp"),
        ("timeout", True, "hung", "completion"),
        ("timeout", False, "hung", "completion"),
        ("not_http", True, "wrong_model", "http"),
    ],
)
def test_fault(kind: t.Any, job_runs: bool, state: str, stage: str) -> None:
    assert classify.of_fault(Fault(kind, "x"), "completion", job_runs=job_runs) == Verdict(
        t.cast(t.Any, state), t.cast(t.Any, stage), "x"
    )


def test_silence_for_too_short_a_time_means_nothing() -> None:
    verdict = classify.of_fault(Fault("timeout", "x"), "completion", job_runs=True, fair=False)
    assert (verdict.state, verdict.cut) == ("loading", True)


@pytest.mark.parametrize(
    ("status", "level", "state"),
    [
        (200, "completion", None),
        (200, "http", None),
        (503, "completion", "loading"),
        (502, "http", "loading"),
        (500, "http", "hung"),
        (404, "http", "wrong_model"),
        pytest.param(404, "completion", None, id="gateway-hides-health"),
        pytest.param(401, "model", None, id="gateway-guards-health"),
    ],
)
def test_health(status: int, level: t.Any, state: str | None) -> None:
    verdict = classify.of_health(reply(status), level)
    assert (verdict and verdict.state) == state


@pytest.mark.parametrize(
    ("answer", "model", "expected"),
    [
        pytest.param(
            reply(200, {"data": [{"id": "phi3", "max_model_len": 256}, {"id": "lora"}]}),
            "phi3",
            Models({"phi3": 256, "lora": None}),
            id="served",
        ),
        pytest.param(reply(200, {"data": [{"id": "a"}]}), None, Models({"a": None}), id="any-model"),
        pytest.param(
            reply(200, {"data": [{"id": "a"}, {"id": "b"}]}),
            "phi3",
            Verdict("wrong_model", "model", "phi3 is not served here, but a, b", served_models=("a", "b")),
            id="another-model",
        ),
        pytest.param(
            reply(200, {"data": []}), "phi3", Verdict("loading", "model", "no model is served yet"), id="none-yet"
        ),
        pytest.param(
            reply(200, "<html>It works!</html>"),
            "phi3",
            Verdict(
                "wrong_model",
                "model",
                "/v1/models is not a list of models, so this is no OpenAI-compatible server",
            ),
            id="web-page",
        ),
        pytest.param(
            reply(401, {"error": "Unauthorized"}),
            "phi3",
            Verdict("auth_error", "model", "/v1/models answers 401", final=True),
            id="key",
        ),
        pytest.param(
            reply(503), "phi3", Verdict("loading", "model", "/v1/models answers 503"), id="gateway-without-engine"
        ),
        pytest.param(
            reply(404, {"detail": "Not Found"}),
            "phi3",
            Verdict("wrong_model", "model", "/v1/models answers 404"),
            id="no-route",
        ),
    ],
)
def test_models(answer: Reply, model: str | None, expected: Verdict | Models) -> None:
    assert classify.of_models(answer, model) == expected


@pytest.mark.parametrize(
    "value", [None, [], "x", {}, {"data": None}, {"data": [1]}, {"data": [{"id": 1}]}, {"data": [{}]}]
)
def test_not_a_list_of_models(value: t.Any) -> None:
    assert classify.parse_models(value) is None


@pytest.mark.parametrize(
    ("answer", "task", "state"),
    [
        pytest.param(reply(200, TOKEN), "generate", None, id="token"),
        pytest.param(reply(200, {"usage": {"completion_tokens": 1}}), "generate", "hung", id="token-without-choice"),
        pytest.param(
            reply(200, TOKEN | {"usage": {"completion_tokens": True}}), "generate", "hung", id="no-number-of-tokens"
        ),
        pytest.param(reply(200, "[" * 100_000), "generate", "hung", id="brackets-without-end"),
        pytest.param(reply(200, '{"data": [{"embedding": [NaN]}]}'), "embed", "hung", id="vector-of-nan"),
        pytest.param(reply(200, {"data": [{"data": [[0.1], [0.2]]}]}), "pooling", None, id="pooling"),
        pytest.param(reply(200, {"data": [{"data": [[[[[0.1]]]]]}]}), "pooling", "hung", id="pooling-too-deep"),
        pytest.param(reply(200, {"data": [{"probs": [0.4, 0.6]}]}), "classify", None, id="classify"),
        pytest.param(reply(200, {"data": [{"probs": []}]}), "classify", "hung", id="classify-nothing"),
        pytest.param(reply(200, {"data": [{"score": 0.9}]}), "score", None, id="score"),
        pytest.param(reply(200, {"data": [{"score": None}]}), "score", "hung", id="no-score"),
        pytest.param(reply(501), "generate", "wrong_model", id="501-for-another-kind-of-model"),
        pytest.param(reply(200, {"usage": {"completion_tokens": 0}}), "generate", "hung", id="no-token"),
        pytest.param(reply(200, {"choices": [{"text": "x"}]}), "generate", "hung", id="no-usage"),
        pytest.param(reply(200, {"usage": {"completion_tokens": "1"}}), "generate", "hung", id="not-a-number"),
        pytest.param(reply(200, "{"), "generate", "hung", id="not-json"),
        pytest.param(reply(200, {"data": [{"embedding": [0.5, 1]}]}), "embed", None, id="vector"),
        pytest.param(reply(200, {"data": [{"embedding": []}]}), "embed", "hung", id="empty-vector"),
        pytest.param(reply(200, {"data": [{"embedding": [None]}]}), "embed", "hung", id="vector-of-nothing"),
        pytest.param(reply(200, {"usage": {"completion_tokens": 1}}), "embed", "hung", id="token-for-a-vector"),
        pytest.param(reply(401), "generate", "auth_error", id="401"),
        pytest.param(reply(403), "generate", "auth_error", id="403"),
        pytest.param(reply(404), "generate", "wrong_model", id="404"),
        pytest.param(reply(429), "generate", "loading", id="full"),
        pytest.param(reply(500), "generate", "hung", id="500"),
        pytest.param(reply(503), "generate", "loading", id="503"),
        pytest.param(reply(504), "generate", "loading", id="504"),
    ],
)
def test_completion(answer: Reply, task: t.Any, state: str | None) -> None:
    verdict = classify.of_completion(answer, task)
    assert (verdict and verdict.state) == state


def test_the_server_s_own_words_are_shown_and_bounded() -> None:
    value = {"error": {"message": "The model does not support\nCompletions API " + "x" * 1000}}
    verdict = classify.of_completion(reply(400, value), "generate")
    assert verdict is not None
    assert verdict.detail.startswith("/v1/completions answers 400: The model does not support Completions API xxx")
    assert len(verdict.detail) < 240


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://u:secret@evil.example.org:8443/v1/models?key=secret", "https://evil.example.org:8443/v1/models"),
        ("/login?next=secret", "/login"),
        ("http://[", "an unreadable address"),
        ("/a\x1b[31m", "/a?[31m"),
    ],
)
def test_a_redirect_is_named_without_what_may_be_secret(location: str, shown: str) -> None:
    verdict = classify.of_models(Reply(307, b"", location=location), "phi3")
    assert verdict == Verdict(
        "wrong_model",
        "model",
        f"/v1/models answers 307, a redirect to {shown} that is not followed, for the key goes nowhere else",
    )


def test_a_stranger_s_names_are_shown_and_bounded() -> None:
    value = {"data": [{"id": f"{number}-" + "x" * 10_000} for number in range(1000)]}
    verdict = classify.of_models(reply(200, value), "phi3")
    assert isinstance(verdict, Verdict)
    assert verdict.detail.endswith(" and 980 more")
    assert len(verdict.detail) < 5000
    assert len(verdict.served_models) == classify.MOST_NAMES


@pytest.mark.parametrize(("started", "state"), [(1000.0, "wrong_model"), (1800.0, None), (2100.0, None)])
def test_a_server_older_than_the_job_is_another_s(started: float, state: str | None) -> None:
    verdict = classify.of_stranger(started, 2000, 300.0)
    assert (verdict and verdict.state) == state
