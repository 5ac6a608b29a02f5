"""The batch script of a model with a real engine: killed and submitted again, and shared by two hosts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster

JOBS = "/home/vllm/vllm-jobs"
FOLDER = "/home/vllm/llmops-batch"
# Seconds of work, so that a kill after the first answers finds some left.
REQUESTS = 2000


@pytest.fixture
def requests(site: Cluster) -> Iterator[str]:
    """A file of requests in the home that all hosts share; one of them is too long for the model."""
    lines = [
        {
            "custom_id": f"request-{number}",
            "method": "POST",
            "url": "/v1/completions",
            "body": {"model": "phi3", "prompt": f"The number {number}", "max_tokens": 16, "temperature": 0},
        }
        for number in range(REQUESTS)
    ]
    lines[7]["body"]["max_tokens"] = 100_000  # type: ignore[index]
    home = site.lab.state / "shared-home" / Path(FOLDER).name
    site.run("ctl", f"rm -rf {FOLDER}; mkdir {FOLDER}", user="vllm")
    (home / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    site.run("ctl", f"chown vllm:vllm {FOLDER}/requests.jsonl")
    yield f"{FOLDER}/requests.jsonl"
    site.run("ctl", f"scancel --name=vllm-batch-phi3; rm -rf {FOLDER}")
    site.run("gpu2", "rm -rf /tmp/llmops-batch-*")


def submit(cluster: Cluster, requests: str, *options: str) -> str:
    words = " ".join(["--parsable", *options, "batch_phi3.sh", requests, f"{FOLDER}/answers.jsonl"])
    return cluster.run("ctl", f"cd {JOBS} && sbatch {words}", user="vllm").strip()


def wait_for_end(cluster: Cluster, job: str) -> str:
    ends = time.monotonic() + 420
    while time.monotonic() < ends:
        state = cluster.run("ctl", f"scontrol --oneliner show job {job} | grep -o 'JobState=[A-Z]*'").strip()
        if state not in ("JobState=PENDING", "JobState=RUNNING", "JobState=COMPLETING"):
            return state.removeprefix("JobState=")
        time.sleep(1)
    return "RUNNING"


def output(cluster: Cluster, job: str) -> str:
    return cluster.run("ctl", f"cat {JOBS}/outputs/batch_phi3_{job}.out {JOBS}/outputs/batch_phi3_{job}.err")


def answers(cluster: Cluster) -> list[dict[str, Any]]:
    text = cluster.run("ctl", f"cat {FOLDER}/answers.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def check_answers(cluster: Cluster) -> None:
    found = answers(cluster)
    assert [one["custom_id"] for one in found] == [f"request-{number}" for number in range(REQUESTS)]
    status = [one["response"]["status_code"] for one in found]
    assert (status[7], set(status[:7] + status[8:])) == (400, {200})
    assert all(one["response"]["body"]["usage"]["completion_tokens"] for number, one in enumerate(found) if number != 7)


def engines(cluster: Cluster) -> set[str]:
    """Processes of engines on gpu2."""
    return set(cluster.run("gpu2", "pgrep --full 'VLLM[:]:|engine[.]sock' || true").split())


def test_a_batch_goes_on_where_it_was_killed(site: Cluster, requests: str) -> None:
    before = engines(site)
    job = submit(site, requests, "--nodelist=gpu2")
    part = f"{FOLDER}/answers.jsonl.part"
    # Seen and killed by one command on the host: a command from here each time came too late on a fast machine.
    # The engine is not told, and ends with the step all the same. A folder with a dead socket stays in /tmp.
    some = f'[ "$(cat {part} 2>/dev/null | wc -l)" -ge 5 ]'
    kill = "pkill -KILL --full vllm-jobs/[l]lmops_batch"
    site.run("gpu2", f"for turn in $(seq 30000); do if {some}; then {kill}; exit; fi; sleep 0.01; done; exit 1")
    assert wait_for_end(site, job) == "FAILED", output(site, job)
    assert engines(site) == before
    answered = len(site.run("ctl", f"cat {part}").splitlines())
    assert 5 <= answered < REQUESTS, "killed too late: nothing is left to do"

    again = submit(site, requests, "--nodelist=gpu2")
    assert wait_for_end(site, again) == "COMPLETED", output(site, again)
    said = output(site, again)
    assert f"{REQUESTS} requests, " in said
    assert f"{REQUESTS} of {REQUESTS} answered (100.0 %)" in said
    assert "1 refused by the engine" in said or "0 of them answered before" not in said
    check_answers(site)

    # A third time there is nothing to do, and no engine is started for it.
    third = submit(site, requests)
    assert wait_for_end(site, third) == "COMPLETED"
    assert f"{REQUESTS} requests, {REQUESTS} of them answered before." in output(site, third)
    check_answers(site)
    assert site.run("ctl", f"ls {FOLDER}").split() == ["answers.jsonl", "requests.jsonl"]


@pytest.mark.slow
def test_two_hosts_share_a_batch(site: Cluster, requests: str) -> None:
    job = submit(site, requests, "--nodes=2", "--ntasks=2")
    assert wait_for_end(site, job) == "COMPLETED", output(site, job)
    said = output(site, job)
    for task in (0, 1):
        assert f"task {task} of 2: {REQUESTS // 2} of {REQUESTS // 2} answered" in said
    check_answers(site)


@pytest.mark.slow
def test_a_batch_that_is_stopped_leaves_nothing_running(site: Cluster, requests: str) -> None:
    before = engines(site)
    job = submit(site, requests, "--nodelist=gpu2")
    ends = time.monotonic() + 300
    while time.monotonic() < ends and not engines(site) - before:
        time.sleep(0.5)
    assert engines(site) - before
    site.run("ctl", f"scancel {job}")
    assert wait_for_end(site, job) == "CANCELLED"
    assert engines(site) - before == set()
    assert site.run("gpu2", "ls -d /tmp/llmops-batch-* 2>/dev/null || true") == ""
