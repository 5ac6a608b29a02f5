"""Each state of a real server, made on purpose: the module names it, in time, and says why."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.modules import vllm_health

from tests.lab.client import request

from .conftest import RECORDS, Health, Server

ENGINE = r"\S*python\S* \S*vllm serve .*--port {}( |$)"


@pytest.fixture(scope="module")
def server(health: Health) -> Iterator[Server]:
    """One server for the tests that leave it as it was."""
    with health.serving() as server:
        yield server


@pytest.fixture(scope="module")
def ready(health: Health, server: Server) -> dict[str, Any]:
    """The module's answer, asked from the moment that the job was submitted."""
    return health.look(job_id=server.job_id, timeout=300)


class TestFoundByItsJob:
    """The cycle: check mode first, then for real, then again."""

    def test_check_mode_looks_once_and_does_not_fail(self, health: Health, server: Server) -> None:
        found = health.look(check=True, job_id=server.job_id, timeout=300)
        assert (found["changed"], found.get("failed", False)) == (False, False)
        assert found["state"] in ("pending", "starting", "ready")

    def test_waits_and_tells_where_it_is(self, health: Health, server: Server, ready: dict[str, Any]) -> None:
        assert (ready["state"], ready["changed"], ready["restarts"]) == ("ready", False, 0)
        assert ready["url"] == f"http://{health.node(server)}:{server.port}"
        assert "phi3" in ready["served_models"]
        assert ready["version"].startswith("0.")

    @pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
    def test_again(self, health: Health, server: Server, ready: dict[str, Any], check: bool) -> None:
        found = health.look(check, job_id=server.job_id, passes=3)
        assert (found["state"], found["changed"], found["url"]) == ("ready", False, ready["url"])

    def test_where_the_records_cannot_be_seen(self, health: Health, server: Server, ready: dict[str, Any]) -> None:
        hidden: dict[str, Any] = {"job_id": server.job_id, "endpoints_dir": "/absent"}
        assert health.look(**hidden, port=server.port)["url"] == ready["url"]
        message = health.look(**hidden)["msg"]
        assert message == (
            f"Reading the endpoint of job {server.job_id} from /absent failed: No such file or directory. Set "
            "endpoints_dir to the folder of the job scripts' records, run this task on a host and as a user that may "
            "read it, or set port, url or host."
        )

    def test_the_record_of_another_run_is_not_believed(
        self, health: Health, server: Server, ready: dict[str, Any]
    ) -> None:
        record = f"{RECORDS}/{server.job_id}.json"
        other = "gpu1" if "gpu2" in ready["url"] else "gpu2"
        health.run("ctl", f'cp -p {record} {record}.kept; sed -i \'s/"host": "gpu."/"host": "{other}"/\' {record}')
        found = health.look(job_id=server.job_id, timeout=3)
        health.run("ctl", f"mv {record}.kept {record}")
        assert found["state"] == "starting"
        assert f"but the record is still that of its run on {other}" in found["msg"]


class TestWhatIsThere:
    @pytest.mark.parametrize("level", ["tcp", "http", "model", "completion"])
    def test_levels(self, health: Health, ready: dict[str, Any], level: str) -> None:
        assert health.look(url=ready["url"], level=level)["stage"] == level

    def test_another_key(self, health: Health, ready: dict[str, Any]) -> None:
        found = health.look(url=ready["url"], api_key_file=None, api_key="sk-not-this-one")
        assert (found["state"], found["waited"] < 5) == ("auth_error", True)

    def test_another_model(self, health: Health, ready: dict[str, Any]) -> None:
        found = health.look(url=ready["url"], model="llama", timeout=5)
        assert found["state"] == "wrong_model"
        assert "llama is not served here, but llmops-lab/phi3-tiny, phi3" in found["msg"]

    @pytest.mark.parametrize("task", ["embed", "pooling", "classify", "score"])
    def test_another_kind_of_model(self, health: Health, ready: dict[str, Any], task: str) -> None:
        found = health.look(url=ready["url"], task=task, timeout=3)
        assert (found["state"], found["stage"]) == ("wrong_model", "completion"), found["msg"]

    def test_a_controller_that_is_frozen_delays_nothing(
        self, health: Health, server: Server, ready: dict[str, Any]
    ) -> None:
        health.signal("STOP", "ctl", "\\S*slurmctld")
        try:
            found = health.look(job_id=server.job_id, url=ready["url"])
        finally:
            health.signal("CONT", "ctl", "\\S*slurmctld")
        assert found["state"] == "ready"
        assert found["waited"] < 10

    def test_a_frozen_server_hangs_in_time_and_comes_back(
        self, health: Health, server: Server, ready: dict[str, Any]
    ) -> None:
        host = health.node(server)
        health.signal("STOP", host, ENGINE.format(server.port))
        begun = time.monotonic()
        try:
            found = health.look(job_id=server.job_id, timeout=8)
        finally:
            health.signal("CONT", host, ENGINE.format(server.port))
        assert (found["state"], found["stage"]) == ("hung", "http")
        assert found["waited"] <= 10
        assert time.monotonic() - begun < 25
        assert health.look(job_id=server.job_id)["state"] == "ready"

    def test_a_killed_server_fails_with_its_log(self, health: Health, server: Server, ready: dict[str, Any]) -> None:
        host = health.node(server)
        health.signal("KILL", host, ENGINE.format(server.port))
        found = health.look(job_id=server.job_id, timeout=300)
        # Where Slurm has no cgroups the orphaned engine outlives its job.
        health.run(host, "pkill -KILL -P 1 -f '^VLLM::EngineCore'", check=False)
        assert found["state"] == "job_failed"
        # Slurm itself says for up to 60 seconds more that the job runs: what the engine leaves behind holds its output.
        assert found["waited"] < 90
        assert "The last lines of /home/vllm/vllm-jobs/outputs/" in found["log"]


def test_a_hung_engine_behind_a_server_that_says_it_is_well(health: Health) -> None:
    """The engine in a process of its own, as on GPUs: frozen, /health still says 200."""
    with health.serving(edit="s/MULTIPROCESSING=0/MULTIPROCESSING=1/", options="--nodelist=gpu2") as server:
        assert health.look(job_id=server.job_id, timeout=300)["state"] == "ready"
        url = health.url(server, "gpu2")
        health.signal("STOP", "gpu2", "VLLM::EngineCor")
        try:
            found = health.look(job_id=server.job_id, timeout=30, request_timeout=5)
            well = health.run("ctl", f"curl -s -o /dev/null -w '%{{http_code}}' {url}/health")
        finally:
            health.signal("CONT", "gpu2", "VLLM::EngineCor")
        assert well == "200"
        assert (found["state"], found["stage"], found["busy"]) == ("hung", "completion", False)
        assert found["waited"] <= 32
        assert health.look(job_id=server.job_id)["state"] == "ready"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(
            "s/--dtype auto/--dtype auto --disable-log-requests/", "unrecognized arguments", id="unknown-flag"
        ),
        pytest.param("s/-bytes 64M/-bytes 900G/", "memory", id="too-much-memory"),
    ],
)
def test_an_engine_that_does_not_come_up(health: Health, edit: str, said: str) -> None:
    with health.serving(edit=edit) as server:
        found = health.look(job_id=server.job_id, timeout=300)
    assert found["state"] == "job_failed"
    assert said in found["log"], found["log"]


def test_another_service_on_the_port(health: Health) -> None:
    port = 8199
    unit = "systemd-run --unit=squatter --collect python3 -m http.server"
    health.run("gpu2", f"{unit} {port}")
    try:
        found = health.look(url=f"http://gpu2:{port}", timeout=3)
        assert (found["state"], found["stage"]) == ("wrong_model", "model"), found["msg"]
        edit = f's/--port [0-9][0-9]*/--port {port}/; s/"port": [0-9]*/"port": {port}/'
        with health.serving(edit=edit, options="--nodelist=gpu2") as server:
            # The port by heart is the stranger's: the record tells where the server went.
            found = health.look(job_id=server.job_id, port=port, timeout=300)
            assert found["state"] == "ready", found["msg"]
            assert 20000 <= int(found["url"].rpartition(":")[2]) <= 29999
    finally:
        health.run("gpu2", "systemctl stop squatter", check=False)


def test_a_job_in_the_queue(health: Health) -> None:
    with health.serving(hold=True) as server:
        found = health.look(job_id=server.job_id, timeout=3)
        assert (found["state"], found["stage"], found["url"]) == ("pending", "job", None)
        assert "JobHeldUser" in found["msg"]


@pytest.mark.slow
def test_a_requeue_to_another_node_is_followed(health: Health) -> None:
    """The node is drained and the job requeued while its engine loads: the wait goes on where it runs then."""
    # It comes to gpu2 because gpu1 is closed, not by its own options: those it keeps when it is requeued.
    health.run("ctl", "scontrol update nodename=gpu1 state=drain reason=test")
    with health.serving(edit="/nodelist/d") as server:
        try:
            assert health.node(server) == "gpu2"
            health.run("ctl", "scontrol update nodename=gpu1 state=resume")
            answers: list[dict[str, Any]] = []
            look = threading.Thread(target=lambda: answers.append(health.look(job_id=server.job_id, timeout=400)))
            look.start()
            # Time for the module to see the first run; its engine needs longer than that.
            time.sleep(6)
            health.run("ctl", "scontrol update nodename=gpu2 state=drain reason=test")
            health.run("ctl", f"scontrol requeue {server.job_id}")
            look.join(420)
        finally:
            health.run("ctl", "scontrol update nodename=gpu1,gpu2 state=resume", check=False)
        found = answers[0]
        assert found["state"] == "ready", found.get("msg")
        assert (found["url"], found["restarts"]) == (f"http://gpu1:{server.port}", 1)
        assert f"Job {server.job_id} was requeued 1 times while it was waited for" in found["said"]
        key = health.run("ctl", "cat /etc/llmops/vllm-api-key").strip()
        body = {"model": "phi3", "prompt": "Slurm", "max_tokens": 1}
        assert request(f"{health.url(server, 'gpu1')}/v1/completions", body, key).status == 200
        record = json.loads(health.run("ctl", f"cat {RECORDS}/{server.job_id}.json"))
        assert record["host"] == "gpu1"


def test_the_examples_of_the_manual_page_run_as_written(health: Health, tmp_path: Path) -> None:
    tasks = yaml.safe_load(vllm_health.EXAMPLES)
    # The last one is about a gateway that does not exist.
    play = {"hosts": "slurm_controller", "become": True, "gather_facts": False, "tasks": tasks[:-1]}
    (tmp_path / "examples.yml").write_text(yaml.safe_dump([play]))
    done = health.play(str(tmp_path / "examples.yml"))
    assert (done.rc, done.changed) == (0, 0), done.output[-3000:]
    assert "answers at http://gpu" in done.words


def test_an_embedding_model(health: Health) -> None:
    """The same weights, served for vectors: only the matching request says that they are ready."""
    with health.serving(edit="s/--dtype auto/--dtype auto --runner pooling --convert embed/") as server:
        found = health.look(job_id=server.job_id, task="embed", timeout=300)
        assert (found["state"], found["detail"]) == ("ready", "llmops-lab/phi3-tiny answers"), found.get("msg")
        found = health.look(job_id=server.job_id, timeout=3)
        assert (found["state"], found["stage"]) == ("wrong_model", "completion"), found["msg"]
        assert "Check model and task" in found["msg"]
