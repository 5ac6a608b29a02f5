# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm import endpoint
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import JobPlaces, Place, Record
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError

# 2026-11-21T03:30:14Z
START = 1795231814
WRITTEN: dict[str, t.Any] = {
    "host": "gpu1",
    "job_id": "7",
    "started": "2026-11-21T03:30:14Z",
    "state": "running",
    "job_name": "vllm-serve-phi3",
    "models": ["llmops-lab/phi3-tiny", "phi3"],
    "port": 8000,
}
RUNNING = JobSeen("running", "job 7 is RUNNING", host="gpu1", started=START)


def test_what_a_job_script_writes_is_read() -> None:
    assert endpoint.parse_record(json.dumps(WRITTEN)) == Record(
        7, "gpu1", 8000, START, ("llmops-lab/phi3-tiny", "phi3")
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "[" * 100_000,
        *(json.dumps({name: value for name, value in WRITTEN.items() if name != left_out})
          for left_out in ("host", "job_id", "started", "port")),
        json.dumps(WRITTEN | {"port": 0}),
        json.dumps(WRITTEN | {"port": "http"}),
        json.dumps(WRITTEN | {"host": 7}),
        json.dumps(WRITTEN | {"started": "yesterday"}),
        json.dumps(WRITTEN | {"models": 7}),
    ],
)  # fmt: skip
def test_what_is_no_record(text: str) -> None:
    assert endpoint.parse_record(text) is None


@pytest.mark.parametrize(
    ("changes", "started", "problem"),
    [
        pytest.param({}, START, None, id="of-this-run"),
        pytest.param({}, None, None, id="slurm-tells-no-start"),
        pytest.param({}, START + 299, None, id="clocks-apart"),
        pytest.param({}, START - 299, None, id="clocks-apart-the-other-way"),
        pytest.param(
            {},
            START + 301,
            "the record is still that of its run from 2026-11-21T03:30:14Z",
            id="run-before-on-same-node",
        ),
        pytest.param({"host": "gpu2"}, START, "the record is still that of its run on gpu2", id="run-on-another-node"),
        pytest.param({"job_id": 8}, START, "the record is that of job 8", id="another-job"),
    ],
)
def test_a_record_must_fit_what_slurm_says(changes: dict[str, t.Any], started: int | None, problem: str | None) -> None:
    record = endpoint.parse_record(json.dumps(WRITTEN | changes))
    assert record is not None
    assert endpoint.record_problem(record, 7, JobSeen("running", host="gpu1", started=started)) == problem


class Folder:
    """The folder of records, and the places found with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connected: list[str] = []

    def write(self, **changes: t.Any) -> None:
        (self.path / "7.json").write_text(json.dumps(WRITTEN | changes))

    def places(self, port: int | None = None, age: float = 60) -> JobPlaces:
        """As seen when the job has run for so many seconds."""
        return JobPlaces(7, str(self.path), port, t.cast(t.Any, self.connected.append), now=lambda: START + age)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_place_by_record(folder: Folder) -> None:
    folder.write()
    places = folder.places()
    places.check()
    assert places(RUNNING) == Place("http://gpu1:8000", t.cast(t.Any, None), "llmops-lab/phi3-tiny", START)
    places(RUNNING)
    assert folder.connected == ["http://gpu1:8000"], "one client, not one a look"


def test_a_requeue_is_followed_and_what_the_lost_node_left_is_not_believed(folder: Folder) -> None:
    folder.write()
    places = folder.places()
    places(RUNNING)
    moved = JobSeen("running", "job 7 is RUNNING", host="gpu2", started=START + 900)
    assert places(moved) == Verdict(
        "starting", "job", "job 7 runs on gpu2, but the record is still that of its run on gpu1"
    )
    folder.write(host="gpu2", started="2026-11-21T03:45:15Z", port=8001)
    found = places(moved)
    assert isinstance(found, Place)
    assert (found.url, found.job_started) == ("http://gpu2:8001", START + 900)


def test_a_job_that_has_just_started_may_still_take_another_port(folder: Folder) -> None:
    young = folder.places(port=8000, age=29)(RUNNING)
    assert isinstance(young, Verdict)
    assert young.detail == f"job 7 runs on gpu1, but it has not recorded its endpoint in {folder.path}/7.json yet"
    assert isinstance(folder.places(port=8000, age=31)(RUNNING), Place)


@pytest.mark.parametrize("written", [{}, {"host": "gpu9"}], ids=["none", "stale"])
def test_without_a_record_the_given_port_on_slurm_s_node(folder: Folder, written: dict[str, t.Any]) -> None:
    if written:
        folder.write(**written)
    found = folder.places(port=8005)(RUNNING)
    assert isinstance(found, Place)
    assert (found.url, found.model) == ("http://gpu1:8005", None)


def test_a_record_that_comes_later_wins_over_the_given_port(folder: Folder) -> None:
    places = folder.places(port=8000)
    places(RUNNING)
    folder.write()
    found = places(RUNNING)
    assert isinstance(found, Place)
    assert (found.url, found.model) == ("http://gpu1:8000", "llmops-lab/phi3-tiny")


def test_a_record_that_is_taken_away_moves_no_engine(folder: Folder) -> None:
    folder.write()
    places = folder.places()
    found = places(RUNNING)
    (folder.path / "7.json").unlink()
    assert places(RUNNING) is found


def test_no_record_yet(folder: Folder) -> None:
    assert folder.places()(RUNNING) == Verdict(
        "starting", "job", f"job 7 runs on gpu1, but it has not recorded its endpoint in {folder.path}/7.json yet"
    )


def test_slurm_s_silence_keeps_the_place_and_finds_none(folder: Folder) -> None:
    folder.write()
    places = folder.places()
    silent = JobSeen("unknown", "Slurm gives no answer")
    assert places(silent) == Verdict("unreachable", "job", "Slurm gives no answer"), "the record may be of an old run"
    found = places(RUNNING)
    assert places(silent) is found


def test_slurm_s_silence_after_a_requeue_does_not_bring_the_old_place_back(folder: Folder) -> None:
    folder.write()
    places = folder.places()
    places(RUNNING)
    places(JobSeen("running", "job 7 is RUNNING", host="gpu2", started=START + 900))
    found = places(JobSeen("unknown", "Slurm gives no answer"))
    assert isinstance(found, Verdict)
    assert found.state == "unreachable"


def test_a_host_that_sees_no_records_is_told_before_the_wait(folder: Folder) -> None:
    absent = str(folder.path / "absent")
    with pytest.raises(HealthError) as caught:
        JobPlaces(7, absent, None, t.cast(t.Any, None)).check()
    assert caught.value.message == (
        f"Reading the endpoint of job 7 from {absent} failed: No such file or directory. "
        "Set endpoints_dir to the folder of the job scripts' records, run this task on a host and as a user that may "
        "read it, or set port, url or host."
    )
    JobPlaces(7, absent, 8000, t.cast(t.Any, None)).check()


def test_links_pipes_and_folders_of_others_are_no_records(folder: Folder) -> None:
    secret = folder.path / "secret"
    secret.write_text(json.dumps(WRITTEN))
    path = folder.path / "7.json"
    os.symlink(secret, path)
    assert endpoint.read_small(str(path)) is None
    path.unlink()
    os.mkfifo(path)
    assert endpoint.read_small(str(path)) is None
    path.unlink()
    path.mkdir()
    assert endpoint.read_small(str(path)) is None


def test_no_more_than_a_record_is_read(folder: Folder) -> None:
    path = folder.path / "7.json"
    path.write_text("x" * 200_000)
    assert len(endpoint.read_small(str(path)) or "") == endpoint.LONGEST_RECORD
