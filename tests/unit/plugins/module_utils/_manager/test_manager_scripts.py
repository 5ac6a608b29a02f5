# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What job scripts, records and files of requests say; who may do what."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FORBIDDEN, UNKNOWN, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._manager.plans import parse_change, parse_gpus, plans
from ansible_collections.llmops.cluster.plugins.module_utils._manager.records import Record, parse_record
from ansible_collections.llmops.cluster.plugins.module_utils._manager.requests import batch_name, look
from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import (
    model_of,
    no_such_model,
    parse_script,
    script_name,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.settings import Settings, parse_settings
from ansible_collections.llmops.cluster.plugins.module_utils._manager.who import Access, Caller, access

GOLDEN = Path(__file__).parents[3] / "golden"


def test_a_serving_script() -> None:
    path = GOLDEN / "serve_four-gpus.sh"
    script = parse_script(path.read_text(), str(path))
    assert (script.kind, script.name, script.job_name) == ("serve", "four-gpus", "vllm-serve-four-gpus")
    assert (script.port, script.model_id, script.served) == (8002, "Qwen/Qwen2.5-32B-Instruct", ("qwen", "four-gpus"))
    assert (script.options["gres"], script.options["time"], script.gpus()) == ("gpu:l4:4", "12:00:00", "l4:4")
    assert script.flag("--tensor-parallel-size") == "4"
    assert script.flag("--shutdown-timeout") is not None


def test_a_batch_script() -> None:
    path = GOLDEN / "batch_cpu.sh"
    script = parse_script(path.read_text(), str(path))
    assert (script.kind, script.name, script.port, script.model_id) == ("batch", "cpu", None, "lab/tiny")


def test_a_script_of_somebody_elses_making() -> None:
    script = parse_script("#!/bin/bash\nendpoint='{'\nsleep 1\n", "/x/serve_own.sh")
    assert (script.name, script.port, script.engine, script.options) == ("own", None, (), {})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("serve_phi3.sh", ("serve", "phi3")),
        ("batch_a-b.1.sh", ("batch", "a-b.1")),
        ("serve_.sh", None),
        ("serve_x.sh.bak", None),
        ("vllm-manager.sh", None),
    ],
)
def test_names_of_scripts(name: str, found: object) -> None:
    assert script_name(name) == found


@pytest.mark.parametrize(
    ("job", "found"),
    [
        ("vllm-serve-phi3", ("serve", "phi3")),
        ("vllm-batch-a-b+0f3c9a52", ("batch", "a-b")),
        ("vllm-serve-", None),
        ("other", None),
    ],
)
def test_models_of_jobs(job: str, found: object) -> None:
    assert model_of(job) == found


def test_a_model_that_is_not_there() -> None:
    error = no_such_model("mitral", ["mistral", "phi3"], " Did you mean mistral?", "/home/vllm/vllm-jobs")
    assert error.exit is UNKNOWN
    assert error.message == (
        "Looking for the model mitral failed: it has no job script in /home/vllm/vllm-jobs. Did you mean mistral? "
        "Known models: mistral, phi3. Others are added to vllm_models and deployed by deploy-vllm-models.yml."
    )


LINE = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "phi3", "messages": []}}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        pytest.param([], "it holds no request", id="empty"),
        # Every fault of a line that the job's own check knows is told here too: tests of llmops_batch.
        pytest.param(["[]"], "line 1: is list, not an object", id="no object"),
        pytest.param(
            [json.dumps({**LINE, "method": "GET"})], "line 1: has the method 'GET'; POST is allowed", id="method"
        ),
        pytest.param([json.dumps(LINE)] * 2, "line 2: custom_id '1' is also that of line 1", id="twice"),
        pytest.param(
            [json.dumps({**LINE, "body": {"model": "other"}})],
            "line 1: asks for the model 'other'; this batch serves org/phi3, phi3",
            id="model",
        ),
    ],
)
def test_requests_that_cannot_be_answered(lines: list[str], problem: str) -> None:
    assert look([line.encode() for line in lines], ("org/phi3", "phi3")).problems == (problem,)


def test_good_requests() -> None:
    score = {**LINE, "custom_id": "2", "url": "/v1/score"}
    assert look([json.dumps(LINE).encode(), b"", json.dumps(score).encode()], ("phi3",)).requests == 2
    assert look([json.dumps(LINE).encode()], ()).problems == ()


def test_a_batch_has_a_name_of_its_files() -> None:
    one = batch_name("vllm-batch-phi3", "/a.jsonl", None)
    assert one == batch_name("vllm-batch-phi3", "/a.jsonl", None)
    assert one != batch_name("vllm-batch-phi3", "/a.jsonl", "/b.jsonl")
    assert one.startswith("vllm-batch-phi3+")


SETTINGS = Settings(group="llm")


@pytest.mark.parametrize(
    ("command", "caller", "own", "found"),
    [
        pytest.param("serve", Caller("vllm", 403), False, Access(), id="service user"),
        pytest.param(
            "serve",
            Caller("root", 0),
            False,
            Access(("runuser", "-u", "vllm", "--", "/usr/local/bin/vllm-manager", "serve", "phi3")),
            id="root",
        ),
        pytest.param(
            "stop",
            Caller("ann", 1000, frozenset({"ann", "llm"})),
            False,
            Access(("sudo", "-n", "-u", "vllm", "--", "/usr/local/bin/vllm-manager", "serve", "phi3")),
            id="operator",
        ),
        pytest.param("status", Caller("bob", 1001), False, Access(full=False), id="anybody looks"),
        pytest.param("chat", Caller("bob", 1001), True, Access(full=False), id="anybody with an address"),
        pytest.param("chat", Caller("root", 0), True, Access(full=False), id="root with an address stays root"),
        pytest.param("completion", Caller("bob", 1001), False, Access(), id="anybody completes"),
    ],
)
def test_who_may_do_what(command: str, caller: Caller, own: bool, found: Access) -> None:
    assert access(command, caller, SETTINGS, ["serve", "phi3"], own_address=own) == found


def test_anybody_else_is_told_how() -> None:
    with pytest.raises(ManagerError) as caught:
        access("chat", Caller("bob", 1001), SETTINGS, ["chat", "phi3", "Who are you?"])
    assert caught.value.exit is FORBIDDEN
    assert caught.value.message == (
        "Running chat as bob failed: models, jobs, logs and the API key belong to the user vllm. As an administrator: "
        "sudo -u vllm vllm-manager chat phi3 'Who are you?'; members of the group llm may do it as themselves, or set "
        "OPENAI_BASE_URL and OPENAI_API_KEY."
    )


def test_settings() -> None:
    assert parse_settings('{"user": "svc", "more": 1}') == Settings(user="svc")
    for text in ("[]", "x", '{"user": 1}'):
        with pytest.raises(ManagerError):
            parse_settings(text)


def test_a_record_that_cannot_be_read_is_empty() -> None:
    assert parse_record("x", "phi3") == parse_record("[1]", "phi3") == Record("phi3")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4", {"nodes": 1, "gpus": 4, "type": ""}),
        ("4:l4", {"nodes": 1, "gpus": 4, "type": "l4"}),
        ("2x8:h100", {"nodes": 2, "gpus": 8, "type": "h100"}),
    ],
)
def test_gpus_of_the_command_line(text: str, found: object) -> None:
    assert parse_gpus(text) == found


@pytest.mark.parametrize("text", ["", "x", "0", "0x4", "ax4:l4", "2x:l4"])
def test_gpus_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        parse_gpus(text)


def test_keys_as_they_might_be() -> None:
    assert parse_change("max_model_len=16384") == ("max_model_len", 16384)
    assert parse_change("dtype=half") == ("dtype", "half")
    with pytest.raises(ValueError, match="KEY=VALUE"):
        parse_change("x")


def test_a_plan_of_a_record() -> None:
    config = json.loads((Path(__file__).parents[3] / "fixtures/model-configs/mistral-7b-v0.3.json").read_text())
    entry = {"name": "mistral", "model_id": "mistralai/Mistral-7B-Instruct-v0.3", "port": 8001, "max_model_len": 8192}
    record = Record("mistral", entry, {"config": config.get("config", config), "weights_bytes": 14496047104})
    found = plans([record], [parse_gpus("1:l4")])[0]
    assert (found["state"], found["layout"]["gpus"]) == ("planned", 1)
    here = dataclasses.replace(record, site={"device": "cpu"})
    assert plans([here], [parse_gpus("1:l4")])[0]["state"] == "measured"
    assert plans([here], [parse_gpus("1:l4")], imagined=True)[0]["state"] == "planned"
    with pytest.raises(ManagerError, match="Planning mistral failed"):
        plans([record], [parse_gpus("1:l4")], changes={"prt": 1})
