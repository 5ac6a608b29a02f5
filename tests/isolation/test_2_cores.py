"""A job has its cores and cannot take another's."""

from __future__ import annotations

import pytest

from .box import PROBE, Box, json_of


@pytest.mark.parametrize(
    ("srun", "number"), [("", 2), ("--cpus-per-task=2 --mem=100", 2), ("--cpus-per-task=1 --mem=100", 1)]
)
def test_a_process_has_the_cores_of_its_job(box: Box, srun: str, number: int) -> None:
    found = box.probe("cores", "alice", srun)
    assert len(found["cores"]) == number
    assert found["after"] == found["cores"], "it widened its affinity"
    refused = [said for core, said in found["asked"].items() if int(core) not in found["cores"]]
    assert refused == ["Invalid argument"] * (2 - number)
    assert [found["asked"][str(core)] for core in found["cores"]] == ["done"] * number


def test_nproc_says_so_too(box: Box) -> None:
    assert box.sh("nproc", "alice") == "2\n"
    assert box.sh("srun --quiet --cpus-per-task=1 --mem=100 nproc", "alice") == "1\n"


def test_jobs_side_by_side_have_different_cores(box: Box) -> None:
    jobs = [
        box.submit(user, "--cpus-per-task=1 --mem=100", f"python3 {PROBE} cores; sleep 600")
        for user in ("alice", "bob")
    ]
    for job in jobs:
        box.until(f"[ -s /tmp/job-{job} ]", f"job {job} says its cores")
    found = [json_of(box.sh(f"cat /tmp/job-{job}"))["cores"] for job in jobs]
    assert sorted(sum(found, [])) == [0, 1]
