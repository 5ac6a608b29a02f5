# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine under a profiler by one key: its files are whole, also after the job was cancelled."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from tests.cluster import Cluster
from tests.lab.client import api_key

from .serving import Server, wait

PROFILES = "/home/vllm/vllm-jobs/profiles"
# uv leaves no pip in the engine's environment: one of another environment installs into it.
INSTALL = (
    "test -x /opt/vllm/venv/bin/viztracer || { python3 -m venv /tmp/pip && "
    "/tmp/pip/bin/pip --python /opt/vllm/venv/bin/python --quiet install viztracer==1.1.1 && rm -rf /tmp/pip; }"
)


# Read where it lies: such files are large.
COUNT = """
import gzip, json, sys
path, word = sys.argv[1:]
with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
    print(sum(word in str(event.get("name")) for event in json.load(file)["traceEvents"]))
"""


def events(cluster: Cluster, path: str, word: str) -> int:
    """How many events of a trace have this in their name."""
    command = shlex.join(["python3", "-c", COUNT, path, word])
    return int(cluster.run("ctl", command, user="vllm"))


def files(cluster: Cluster, job: int) -> list[str]:
    return cluster.run("ctl", f"find {PROFILES} -path '*_{job}_*' -type f", user="vllm").split()


def post(server: Server, path: str) -> None:
    record = server.record()
    url = f"http://{server.cluster.address(str(record['host']))}:{record['port']}{path}"
    header = f"Authorization: Bearer {api_key(server.cluster)}"
    server.cluster.run("ctl", f"curl -sf -X POST -H {shlex.quote(header)} {url}")


def test_torch_from_start_profile_to_stop_profile(server: Callable[..., Server]) -> None:
    found = server("traced", profiler="torch")
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    job, record = next(iter(found.jobs().values())), found.record()
    post(found, "/start_profile")
    found.answers_word_for_word()
    post(found, "/stop_profile")
    again = found.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    assert list(found.jobs().values()) == [job]
    found.cancel()
    written = files(found.cluster, job)
    assert written
    assert all(path.startswith(f"{PROFILES}/traced_{job}_{record['host']}_0/") for path in written)
    traces = [path for path in written if ".pt.trace.json" in path]
    assert any(events(found.cluster, path, "aten::") for path in traces)


@pytest.fixture
def viztracer(free: Cluster) -> None:
    for host in ("gpu1", "gpu2"):
        free.run(host, INSTALL)


def test_viztracer_writes_its_file_when_the_job_is_cancelled(server: Callable[..., Server], viztracer: None) -> None:
    found = server("viz", profiler="viztracer")
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    job, record = next(iter(found.jobs().values())), found.record()
    found.answers_word_for_word()
    found.cancel()
    assert files(found.cluster, job) == [f"{PROFILES}/viz_{job}_{record['host']}_0.json"]
    assert events(found.cluster, files(found.cluster, job)[0], "vllm")


@pytest.mark.slow
def test_viztracer_of_two_nodes_writes_a_file_of_each(server: Callable[..., Server], viztracer: None) -> None:
    found = server("viz2", profiler="viztracer", nodes=2, tensor_parallel_size=2)
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    job = next(iter(found.jobs().values()))
    found.cancel()
    wanted = [f"{PROFILES}/viz2_{job}_gpu1_0.json", f"{PROFILES}/viz2_{job}_gpu2_1.json"]
    wait(lambda: sorted(files(found.cluster, job)) == wanted, 60, "the files of both nodes")
    assert all(events(found.cluster, path, "vllm") for path in wanted)


def test_a_missing_profiler_is_said_before_the_model_loads(server: Callable[..., Server]) -> None:
    found = server("nsys", profiler="nsys")
    play = found.deploy()
    assert play.rc != 0
    assert "Profiling with nsys on gpu1 failed: nsys is not there." in play.words
