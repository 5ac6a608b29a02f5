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


def test_check_mode_has_no_job_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    """The task before it would have submitted the job."""
    found = run_module(vllm_health.main, capsys, job_id=None, check=True)
    assert (found.get("failed", False), found["ready"], found["state"]) == (False, False, "pending")
    assert found["detail"] == "there is no job to look at: check mode submits none"


ADDRESS = "must give an http or https address without user or password, like http://gpu1:8000."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": None}, "one of the following is required: url, host, job_id"),
        ({"url": None, "host": "gpu1"}, "missing parameter(s) required by 'host': port"),
        ({"host": "gpu1", "port": 1}, "parameters are mutually exclusive: url|host, url|port"),
        ({"url": None, "host": "gpu1", "port": 70000}, "port is 70000; it must be from 1 to 65535."),
        ({"url": None, "job_id": 0}, "job_id is 0; it must be at least 1."),
        ({"url": "gpu1:8000"}, f"url {ADDRESS}"),
        ({"url": "http://me:secret@gpu1"}, f"url {ADDRESS}"),
        ({"url": "http://gpu1..lab:8000"}, f"url {ADDRESS}"),
        ({"url": None, "host": "x" * 70, "port": 1}, f"host {ADDRESS}"),
        (
            {"url": "http://gpu1:8000/?key=1"},
            "url must be a base address without a query, a fragment or blanks, like http://gpu1:8000.",
        ),
        ({"timeout": -1}, "timeout is -1.0; it must be at least 0."),
        ({"timeout": "nan"}, "timeout is nan; it must be a finite number."),
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


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "it is empty. Put the key into it."),
        (b"\xff\xfe", "it is not text. Check the path and who may read it."),
        (
            b"sk-canary-0123456789\nsk-canary-0123456789\n",
            "it holds blanks, line breaks or other characters that no key has. Give the bare key, on one line.",
        ),
    ],
    ids=["empty", "not-text", "two-lines"],
)
def test_bad_key_file(run: Run, tmp_path: Path, content: bytes, cause: str) -> None:
    (tmp_path / "key").write_bytes(content)
    message = run(api_key_file=str(tmp_path / "key"))["msg"]
    assert message == f"Reading api_key_file {tmp_path / 'key'} failed: {cause}"


def test_key_that_no_header_carries_is_refused_and_not_shown(run: Run) -> None:
    found = run(api_key=f"{KEY}\u00e9")
    assert found["msg"].startswith("Using api_key failed: it holds blanks, line breaks")
    assert KEY not in json.dumps(found)


def test_proxies_of_the_environment_are_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(model="phi3")["ready"]


def test_redirects_are_not_followed(run: Run, engine: FakeEngine) -> None:
    with fake_engine() as other:
        engine.answers["/v1/models"] = engine.redirect(f"{other.url}/v1/models")
        found = run(model="phi3", api_key=KEY)
        assert (found["state"], found["stage"]) == ("wrong_model", "model")
        assert other.asked == []


def test_null_counts_as_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_module(vllm_health.main, capsys, url=None, timeout=0)
    assert found["msg"] == "None of url, host and job_id is set; give url, or host and port, or job_id."


def job(state: str, **more: t.Any) -> Job:
    return Job(job_id=7, name="vllm-serve-phi3", user="vllm", state=state, nodes="gpu1", **more)


class FakeSlurm:
    """Stands for the Slurm client: what it says at each look."""

    def __init__(self, *answers: Job | None | Exception, whole: Job | None = None) -> None:
        self._answers = list(answers)
        self.whole = whole

    def poll(self, job_id: int) -> Job | None:
        self._now = self._answers.pop(0)
        if isinstance(self._now, Exception):
            raise self._now
        return self._now

    def job(self, job_id: int) -> Job | None:
        # The whole answer of a job that squeue calls COMPLETING.
        return self.whole or t.cast("Job | None", self._now)

    def recorded(self, job_id: int) -> Job | None:
        return None


def tail(path: str, user: str) -> str | None:
    return f"{user} loading\nRuntimeError: no room for {KEY}\n"


NO_ANSWER = CommandError("Asking for job 7 failed", command=[], rc=1, stderr="")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(
            [job("PENDING", reason="Resources")],
            JobSeen("pending", "job 7 (vllm-serve-phi3) on gpu1 is PENDING (Slurm's reason: Resources)"),
            id="pending",
        ),
        pytest.param(
            [job("PENDING", reason="BadConstraints")],
            JobSeen(
                "pending",
                "job 7 (vllm-serve-phi3) on gpu1 is PENDING (Slurm's reason: BadConstraints) and can never start",
                hopeless=True,
            ),
            id="hopeless",
        ),
        pytest.param(
            [job("RUNNING", batch_host="gpu1", start_time=5)],
            JobSeen("running", "job 7 (vllm-serve-phi3) on gpu1 is RUNNING", host="gpu1", started=5),
            id="running",
        ),
        pytest.param(
            [FileNotFoundError(2, "No such file or directory")],
            JobSeen("unknown", "Asking for job 7 failed: No such file or directory"),
            id="squeue-is-away",
        ),
        pytest.param(
            [job("FAILED", exit_code=2, stdout="/x/7.out")],
            JobSeen(
                "ended",
                "job 7 (vllm-serve-phi3) on gpu1 ended as FAILED (exit code 2)",
                "\nThe last lines of /x/7.out:\nvllm loading\nRuntimeError: no room for ********",
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
    looker = JobLooker(t.cast(t.Any, FakeSlurm(*answers)), 7, [KEY], tail)
    assert [looker() for _answer in answers][-1] == expected


@pytest.mark.parametrize(
    ("whole", "phase"),
    [
        (job("FAILED", flags=("COMPLETING",), exit_code=1), "ended"),
        (job("PENDING", flags=("COMPLETING",)), "pending"),
        (job("COMPLETING"), "running"),
    ],
    ids=["over", "requeued", "slurm-without-json"],
)
def test_a_job_that_completes_is_looked_at_closely(whole: Job, phase: str) -> None:
    slurm = FakeSlurm(job("COMPLETING"), whole=whole)
    assert JobLooker(t.cast(t.Any, slurm), 7, [], tail)().phase == phase


def test_defaults_agree_with_the_documentation() -> None:
    documented = yaml.safe_load(vllm_health.DOCUMENTATION)["options"]
    assert {name: option.get("default") for name, option in documented.items()} == {
        name: option.get("default") for name, option in vllm_health.argument_spec().items()
    }
