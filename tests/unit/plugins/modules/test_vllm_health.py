# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import CommandError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.job import JobLooker
from ansible_collections.llmops.cluster.plugins.modules import vllm_health
from ansible_collections.llmops.cluster.tests.unit.fake_engine import KEY, FakeEngine, fake_engine
from ansible_collections.llmops.cluster.tests.unit.module_runner import run_module

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def engine() -> t.Iterator[FakeEngine]:
    with fake_engine() as engine:
        yield engine


@pytest.fixture
def run(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(**options: t.Any) -> dict[str, t.Any]:
        defaults: dict[str, t.Any] = {"url": engine.url, "timeout": 0}
        given = {name: value for name, value in (defaults | options).items() if value is not None}
        return run_module(vllm_health.main, capsys, **given)

    return run


@pytest.mark.parametrize("check", [True, False])
def test_ready(run: Run, check: bool) -> None:
    found = run(model="phi3", check=check)
    assert (found["changed"], found["ready"], found["state"], found["stage"]) == (False, True, "ready", "completion")
    assert (found["served_models"], found["max_model_len"]) == (["phi3"], 256)
    assert found["completion_seconds"] >= 0


def test_host_and_port(run: Run, engine: FakeEngine) -> None:
    assert run(url=None, host="127.0.0.1", port=engine.port)["ready"]


def test_key_from_a_file_works_and_shows_nowhere(run: Run, engine: FakeEngine, tmp_path: Path) -> None:
    engine.key = KEY
    (tmp_path / "key").write_text(KEY + "\n")
    found = run(model="phi3", api_key_file=str(tmp_path / "key"))
    assert found["ready"]
    engine.answers["/v1/completions"] = (400, {"error": {"message": f"bad key {KEY}"}})
    refused = run(model="phi3", api_key_file=str(tmp_path / "key"))
    assert "bad key ********" in refused["msg"]
    assert KEY not in json.dumps([found, refused])


def test_failure_carries_the_facts(run: Run, engine: FakeEngine) -> None:
    engine.key = KEY
    found = run(model="phi3", api_key="sk-something-else")
    assert found["failed"]
    assert (found["ready"], found["state"], found["stage"]) == (False, "auth_error", "model")
    assert found["msg"] == (
        f"Waiting for phi3 at {engine.url} failed: after 0 seconds it is auth_error at stage model: "
        "/v1/models answers 401. Give the api_key that the server was started with."
    )


def test_check_mode_looks_once_and_does_not_fail(run: Run, engine: FakeEngine) -> None:
    engine.answers["/health"] = (503, "")
    found = run(model="phi3", timeout=600, check=True)
    assert (found.get("failed", False), found["ready"], found["state"]) == (False, False, "loading")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": None}, "one of the following is required: url, host"),
        ({"url": None, "host": "gpu1"}, "parameters are required together: host, port"),
        ({"host": "gpu1", "port": 1}, "parameters are mutually exclusive: url|host, url|port"),
        (
            {"url": "gpu1:8000"},
            "url, or host and port, must give an http or https address without user or password, "
            "like http://gpu1:8000.",
        ),
        (
            {"url": "http://me:secret@gpu1"},
            "url, or host and port, must give an http or https address without user or password, "
            "like http://gpu1:8000.",
        ),
        ({"timeout": -1}, "timeout is -1.0; it must be at least 0."),
        ({"interval": 0}, "interval is 0.0; it must be more than 0."),
        ({"passes": 0}, "passes is 0; it must be at least 1."),
        (
            {"api_key_file": "/absent/key"},
            "Reading api_key_file /absent/key failed: No such file or directory. Check the path and who may read it.",
        ),
    ],
)
def test_bad_options(run: Run, options: dict[str, t.Any], message: str) -> None:
    assert run(**options)["msg"] == message


def test_null_counts_as_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_module(vllm_health.main, capsys, url=None, timeout=0)
    assert found["msg"] == "url is not set, and host and port are not both set; give one or the other."


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ({"url": "http://gpu1:8000/v1/"}, "http://gpu1:8000"),
        ({"url": "https://llm.example.org/"}, "https://llm.example.org"),
        ({"url": None, "host": "gpu1", "port": 8000}, "http://gpu1:8000"),
        ({"url": None, "host": "fe80::1", "port": 8000}, "http://[fe80::1]:8000"),
    ],
)
def test_base_url(params: dict[str, t.Any], url: str) -> None:
    assert vllm_health.base_url(params) == url


def job(state: str, **more: t.Any) -> Job:
    return Job(job_id=7, name="vllm-serve-phi3", user="vllm", state=state, nodes="gpu1", **more)


class FakeSlurm:
    """Stands for the Slurm client: what it says at each look."""

    def __init__(self, *answers: Job | None | Exception) -> None:
        self._answers = list(answers)

    def poll(self, job_id: int) -> Job | None:
        self._now = self._answers.pop(0)
        if isinstance(self._now, Exception):
            raise self._now
        return self._now

    def job(self, job_id: int) -> Job | None:
        return t.cast("Job | None", self._now)

    def recorded(self, job_id: int) -> Job | None:
        return None

    def tail(self, path: str) -> str | None:
        return f"loading\nRuntimeError: no room for {KEY}\n"


NO_ANSWER = CommandError("Asking for job 7 failed", command=[], rc=1, stderr="")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(
            [job("PENDING", reason="Resources")],
            JobSeen("pending", "job 7 (vllm-serve-phi3) on gpu1 is PENDING (Slurm's reason: Resources)"),
            id="pending",
        ),
        pytest.param([job("RUNNING")], JobSeen("running", "job 7 (vllm-serve-phi3) on gpu1 is RUNNING"), id="running"),
        pytest.param(
            [job("FAILED", exit_code=2, stdout="/x/7.out")],
            JobSeen(
                "ended",
                "job 7 (vllm-serve-phi3) on gpu1 ended as FAILED (exit code 2)",
                "\nThe last lines of /x/7.out:\nloading\nRuntimeError: no room for ********",
            ),
            id="failed",
        ),
        pytest.param([NO_ANSWER], JobSeen("unknown", "Asking for job 7 failed"), id="slurm-silent"),
        pytest.param(
            [None], JobSeen("unknown", "Slurm does not know job 7, nor does its accounting"), id="one-blank-answer"
        ),
        pytest.param(
            [None, None, None], JobSeen("ended", "Slurm does not know job 7, nor does its accounting"), id="gone"
        ),
        pytest.param(
            [None, None, job("RUNNING"), None],
            JobSeen("unknown", "Slurm does not know job 7, nor does its accounting"),
            id="blanks-must-follow-each-other",
        ),
    ],
)
def test_job_looker(answers: list[t.Any], expected: JobSeen) -> None:
    looker = JobLooker(t.cast(t.Any, FakeSlurm(*answers)), 7, [KEY])
    assert [looker() for _answer in answers][-1] == expected


def test_defaults_agree_with_the_documentation() -> None:
    documented = yaml.safe_load(vllm_health.DOCUMENTATION)["options"]
    assert {name: option.get("default") for name, option in documented.items()} == {
        name: option.get("default") for name, option in vllm_health.argument_spec().items()
    }
