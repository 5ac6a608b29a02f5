# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands against a small Slurm in memory: what they do to jobs, what they say, and what they end with."""

from __future__ import annotations

import io
import json
import typing as t
from functools import cached_property
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager import context as contexts
from ansible_collections.llmops.cluster.plugins.module_utils._manager.cli import parse
from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands import command
from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    FORBIDDEN,
    KEY,
    NOT_READY,
    OK,
    REFUSED,
    UNKNOWN,
    USAGE,
    Exit,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.host import Host
from ansible_collections.llmops.cluster.plugins.module_utils._manager.screen import Screen
from ansible_collections.llmops.cluster.plugins.module_utils._manager.settings import Settings
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.manage import JobManager
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import build_spec
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import JobWatch
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Verdict
from ansible_collections.llmops.cluster.tests.unit.fake_engine import fake_engine
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.fake_slurm import FakeSlurm

GOLDEN = Path(__file__).parents[3] / "golden"


class FakeHost(Host):
    """The controller with another Slurm and another clock."""

    def __init__(self, slurm: FakeSlurm, settings: Settings, full: bool = True) -> None:
        super().__init__(settings, full=full)
        self.slurm = slurm

    @cached_property
    def client(self) -> SlurmClient:
        return self.slurm.client()

    def srun(self) -> str | None:
        return None

    def manager(self, names: t.Sequence[str], *, dry_run: bool) -> JobManager:
        slurm = self.slurm
        times: dict[str, t.Any] = {"clock": lambda: slurm.clock, "sleep": slurm.sleep, "now": lambda: slurm.clock}
        return JobManager(self.client, JobWatch(self.client, {}, 1.0, **times), dry_run, **times)


class Desk:
    """Somebody at a terminal of the controller."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slurm = FakeSlurm()
        self.folder = folder
        self.settings = Settings(jobs_dir=str(folder), api_key_file="")
        for kind in ("serve", "batch"):
            text = (GOLDEN / f"{kind}_phi3.sh").read_text()
            (folder / f"{kind}_phi3.sh").write_text(text)
        monkeypatch.setattr(contexts.hosts, "now", lambda: self.slurm.clock)
        for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
            monkeypatch.delenv(name, raising=False)

    def run(self, *words: str, full: bool = True) -> tuple[Exit, str, str]:
        """Exit, what was printed, and what was noted beside it."""
        args = parse(list(words))
        out, err = io.StringIO(), io.StringIO()
        screen = Screen(as_json="--json" in words, out=out, err=err)
        host = FakeHost(self.slurm, self.settings, full)
        try:
            code = command(args.command)(Context(host, screen, args))
        except ManagerError as error:
            return error.exit, out.getvalue(), error.message
        return code, out.getvalue(), err.getvalue()

    def json(self, *words: str) -> tuple[Exit, dict[str, t.Any]]:
        code, out, _err = self.run("--json", *words)
        return code, json.loads(out)

    def playbook_key(self) -> str:
        """The key that the module slurm_job gives to the role's task."""
        spec = build_spec(
            name="vllm-serve-phi3",
            user="vllm",
            script=(self.folder / "serve_phi3.sh").read_text(),
            script_path=str(self.folder / "serve_phi3.sh"),
            chdir=str(self.folder),
        )
        return spec.comment(spec.key("lab"))

    def ended(self, **how: t.Any) -> None:
        """The job of phi3, over."""
        life = [(0.0, {"nodes": "gpu1", "batch_host": "gpu1", **how})]
        self.slurm.add("vllm-serve-phi3", self.playbook_key(), life=life)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_serve_submits_once(desk: Desk) -> None:
    assert desk.run("serve", "phi3", "--no-wait")[:2] == (OK, "The job vllm-serve-phi3 was submitted as job 1.\n")
    code, found = desk.json("serve", "phi3", "--no-wait")
    assert (code, found["jobs"][0]["changed"], found["jobs"][0]["job_id"]) == (OK, False, 1)
    assert len(desk.slurm.jobs) == 1


def test_serve_prints_what_would_run(desk: Desk) -> None:
    text = (desk.folder / "serve_phi3.sh").read_bytes().decode()
    assert desk.run("serve", "phi3", "--print") == (OK, text, "")
    code, found = desk.json("serve", "phi3", "--print")
    assert (code, found) == (OK, {"model": "phi3", "path": str(desk.folder / "serve_phi3.sh"), "script": text})
    assert desk.slurm.jobs == []


def test_serve_adopts_the_playbooks_job(desk: Desk) -> None:
    desk.slurm.add("vllm-serve-phi3", desk.playbook_key())
    assert desk.run("serve", "phi3", "--no-wait")[1] == "Job 1 (vllm-serve-phi3) on gpu1 is as wanted.\n"
    assert len(desk.slurm.jobs) == 1


def test_the_playbook_would_adopt_the_managers_job(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    assert desk.slurm.jobs[0].comment == desk.playbook_key()


def test_a_job_of_another_script_is_not_cancelled_unasked(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    script = desk.folder / "serve_phi3.sh"
    script.write_text(script.read_text() + "\n# new\n")
    code, _out, said = desk.run("serve", "phi3", "--no-wait")
    assert code is REFUSED
    assert said == (
        "Changing job 1 (vllm-serve-phi3) on gpu1 failed: it is RUNNING and differs in chdir, script. Its script "
        "was written anew since then. --replace cancels it and starts it again."
    )
    assert desk.run("serve", "phi3", "--no-wait", "--replace")[0] is OK
    assert [job.job_id for job in desk.slurm.live()] == [2]


def test_dry_run_changes_nothing(desk: Desk) -> None:
    code, out, _err = desk.run("serve", "phi3", "--dry-run")
    assert (code, desk.slurm.jobs) == (OK, [])
    assert out.startswith("The job vllm-serve-phi3 would be submitted. Slurm would accept it: Job 99 to start at ")


def test_what_slurm_refuses_is_said_in_the_words_of_the_command_line(desk: Desk) -> None:
    desk.slurm.refusal = "Batch job submission failed: Invalid generic resource (gres) specification"
    code, _out, said = desk.run("serve", "phi3", "--no-wait")
    assert code is REFUSED
    assert said.splitlines() == [
        "Submitting the job vllm-serve-phi3 of vllm failed: Batch job submission failed: Invalid generic resource "
        "(gres) specification. Correct its options or its script, then run this command again.",
        "Slurm has no GPUs of the kind that the job asks for. Compare gpus of phi3 and vllm_jobs_gres with `sinfo -N "
        "-o '%N %G'`.",
    ]


@pytest.mark.parametrize(
    ("words", "exit_", "message"),
    [
        pytest.param(["serve", "ph3"], UNKNOWN, "Did you mean phi3? Known models: phi3.", id="slip"),
        pytest.param(["serve"], USAGE, "Name a model, or --all. Known models: phi3.", id="none"),
        pytest.param(["logs", "phi3"], UNKNOWN, "Slurm remembers no job of it.", id="no job"),
        pytest.param(["cancel", "77"], UNKNOWN, "Looking for job 77 failed: Slurm does not know it", id="no such job"),
        pytest.param(["test", "phi3"], FAILED, "Asking phi3 failed: it has no job.", id="nothing to ask"),
        pytest.param(["plan"], UNKNOWN, "Planning phi3 failed: what the model is was not written down", id="no record"),
    ],
)
def test_errors(desk: Desk, words: list[str], exit_: Exit, message: str) -> None:
    code, _out, said = desk.run(*words)
    assert code is exit_
    assert message in said


def test_stop(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    assert "Would cancel job 1" in desk.run("stop", "phi3", "--dry-run")[1]
    assert desk.run("stop", "phi3")[1] == "Cancelled job 1 (vllm-serve-phi3) on gpu1.\n"
    assert desk.slurm.live() == []
    assert desk.run("stop", "phi3")[1] == "There is no job vllm-serve-phi3 of vllm to cancel.\n"


def test_restart(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    code, out, _said = desk.run("--json", "restart", "phi3", "--no-wait")
    assert code is OK
    assert [job.job_id for job in desk.slurm.live()] == [2]
    assert json.loads(out)["jobs"][0]["cancelled_job_ids"] == [1]


def test_restart_does_not_stop_what_could_not_be_started(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    desk.slurm.refusal = "Batch job submission failed: Requested node configuration is not available"
    code, _out, said = desk.run("restart", "phi3", "--no-wait")
    assert (code, [job.job_id for job in desk.slurm.live()]) == (REFUSED, [1])
    assert "Requested node configuration is not available. No job was changed." in said


def test_cancel_leaves_other_users_jobs_alone(desk: Desk) -> None:
    desk.slurm.add("mine", "", user="ann")
    code, _out, said = desk.run("cancel", "1")
    assert code is FORBIDDEN
    assert said == "Cancelling job 1 failed: it is ann's, and the manager cancels jobs of vllm only."


def requests(desk: Desk, name: str = "q.jsonl") -> str:
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "phi3"}}
    path = desk.folder / name
    path.write_text(json.dumps(line) + "\n")
    return str(path)


def test_batches_of_two_files_run_side_by_side_and_each_once(desk: Desk) -> None:
    for name in ("a.jsonl", "b.jsonl", "a.jsonl"):
        assert desk.run("batch", "phi3", requests(desk, name))[0] is OK
    assert len(desk.slurm.live()) == 2
    assert len({job.name for job in desk.slurm.jobs}) == 2


def test_a_batch_that_cannot_be_answered_is_not_submitted(desk: Desk) -> None:
    path = desk.folder / "q.jsonl"
    path.write_text("{\n")
    code, _out, said = desk.run("batch", "phi3", str(path))
    assert (code, desk.slurm.jobs) == (USAGE, [])
    assert said == (
        f"The requests in {path} cannot be answered. Nothing was submitted.\n"
        "  line 1: is no JSON (Expecting property name enclosed in double quotes, character 2)"
    )


def test_status_of_nothing(desk: Desk) -> None:
    code, out, _err = desk.run("status")
    assert code is OK
    assert out.splitlines() == [
        "MODEL  KIND   JOB  STATE    NODE  FOR  LEFT  DETAIL",
        "phi3   serve  -    stopped  -     -    -     -",
    ]


def test_status_of_a_job_that_failed(desk: Desk) -> None:
    desk.ended(state=["FAILED"], exit_code=2)
    code, out, err = desk.run("status")
    assert code is OK
    assert out.splitlines()[1] == "phi3   serve  1    failed  gpu1  -    -     exit code 2"
    assert err == "\nWhy: vllm-manager doctor phi3\n"


@pytest.mark.parametrize(
    ("verdict", "state", "detail"),
    [
        (Verdict("ready", "completion", "phi3 answers"), "ready", ""),
        (Verdict("loading", "completion", "", busy=True), "ready", "busy"),
        (Verdict("starting", "tcp", "connection refused"), "loading", "starting"),
        (Verdict("hung", "completion", "no answer within 5.0 seconds"), "hung", "no answer within 5.0 seconds"),
    ],
)
def test_status_of_a_job_that_runs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, state: str, detail: str
) -> None:
    monkeypatch.setattr(Context, "health", lambda *_args: (verdict, "http://gpu1:8000"))
    desk.run("serve", "phi3", "--no-wait")
    job = desk.json("status")[1]["jobs"][0]
    assert (job["state"], job["detail"], job["base_url"]) == (state, detail, "http://gpu1:8000/v1")


def test_status_for_everybody(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    code, out, err = desk.run("status", full=False)
    assert (code, out.splitlines()[1].split()[:5]) == (OK, ["phi3", "serve", "1", "running", "gpu1"])
    assert "Only what Slurm shows to everybody." in err


def test_doctor_of_a_job_that_ended(desk: Desk) -> None:
    desk.ended(state=["OUT_OF_MEMORY"], exit_code=0, signal=9)
    code, found = desk.json("doctor", "phi3")
    assert (code, found["diagnoses"][0]["finding"]["id"]) == (FAILED, "slurm-memory-limit")
    out = desk.run("doctor")[1]
    assert out.splitlines()[0] == (
        "phi3 (job 1)  ended as OUT_OF_MEMORY (it used more memory than it was given; killed by signal 9 (SIGKILL))"
    )
    assert "  fix       Raise mem of phi3 " in out


def test_doctor_of_a_job_that_waits(desk: Desk) -> None:
    desk.slurm.life = [(0, {"state": ["PENDING"], "reason": "PartitionTimeLimit"})]
    desk.run("serve", "phi3", "--no-wait")
    code, found = desk.json("doctor", "phi3")
    assert (code, found["diagnoses"][0]["finding"]["id"]) == (NOT_READY, "time-above-partition")


def test_doctor_of_what_slurm_would_not_take(desk: Desk) -> None:
    desk.slurm.refusal = "Batch job submission failed: Invalid generic resource (gres) specification"
    code, found = desk.json("doctor", "phi3")
    assert (code, found["diagnoses"][0]["finding"]["id"]) == (FAILED, "gres-unknown")


def test_doctor_of_what_never_ran(desk: Desk) -> None:
    code, out, _err = desk.run("doctor", "phi3")
    assert code is OK
    assert "it has no job. `vllm-manager serve phi3` starts one." in out


def test_doctor_when_all_is_well(desk: Desk) -> None:
    assert desk.run("doctor")[:2] == (OK, "Nothing is wrong: every job of a model answers or waits for nothing.\n")


def test_list(desk: Desk) -> None:
    (desk.folder / "models").mkdir()
    record = {"wanted": {"name": "phi3", "description": "small"}}
    (desk.folder / "models/phi3.json").write_text(json.dumps(record))
    code, out, _err = desk.run("list")
    assert code is OK
    assert out.splitlines() == [
        "NAME  STATE    MODEL                             GPUS  PORT  LENGTH  DESCRIPTION",
        "phi3  stopped  microsoft/Phi-3-mini-4k-instruct  1     8000  4096    small",
    ]


def test_list_tells_the_port_that_a_server_has(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    (desk.folder / "endpoints").mkdir()
    record = {"job_id": "1", "host": "gpu1", "port": 20064, "started": "2026-11-22T08:00:00Z", "models": ["phi3"]}
    (desk.folder / "endpoints/1.json").write_text(json.dumps(record))
    _code, found = desk.json("list")
    assert [(one["state"], one["port"]) for one in found["models"]] == [("running", 20064)]


def test_names_for_the_shell(desk: Desk) -> None:
    desk.run("serve", "phi3", "--no-wait")
    assert desk.run("names", "targets")[1].split() == ["phi3", "1"]


def test_a_job_of_somebody_elses_making_is_reported_and_left_alone(desk: Desk) -> None:
    desk.slurm.add("vllm-serve-phi3", "")
    code, _out, err = desk.run("serve", "phi3", "--no-wait")
    assert (code, len(desk.slurm.live())) == (OK, 2)
    assert err == (
        "Warning: There are jobs of the same name and user that were submitted by hand; they are left alone: 1.\n"
    )


def test_an_adapter_is_found_by_the_engine_that_answers_for_it(desk: Desk) -> None:
    path = desk.folder / "serve_phi3.sh"
    path.write_text(path.read_text().replace('"phi3"], "name"', '"phi3", "sql"], "name"'))
    host = FakeHost(desk.slurm, desk.settings)
    assert [host.script_that_answers(name).name for name in ("phi3", "sql")] == ["phi3", "phi3"]
    with pytest.raises(ManagerError, match="Looking for the model sq failed"):
        host.script_that_answers("sq")


def test_keys_go_where_they_belong(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    service, mine = tmp_path / "service", tmp_path / "mine"
    service.write_text("sk-service\n")
    mine.write_text("sk-mine\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    host = FakeHost(desk.slurm, Settings(api_key_file=str(service)))
    assert (host.service_key(), host.own_key(None), host.own_key(str(mine))) == (
        "sk-service",
        "sk-environment",
        "sk-mine",
    )
    assert FakeHost(desk.slurm, Settings(api_key_file=str(service)), full=False).service_key() is None


def test_the_services_key_goes_to_no_address_that_somebody_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "service").write_text("sk-service\n")
    desk.settings = Settings(jobs_dir=str(tmp_path), api_key_file=str(tmp_path / "service"))
    with fake_engine() as engine:
        engine.key = "sk-service"
        monkeypatch.setenv("OPENAI_BASE_URL", f"{engine.url}/v1")
        assert desk.run("chat", "phi3", "Hello")[0] is KEY
