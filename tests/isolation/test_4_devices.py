"""A job opens its own GPUs and no other."""

from __future__ import annotations

import pytest

from .box import PROBE, Box, json_of

# There is no driver behind the files: who may open one hears that there is no device.
ALLOWED, REFUSED = "No such device or address", "Operation not permitted"


@pytest.mark.parametrize(
    ("srun", "first", "second"),
    [
        ("", ALLOWED, ALLOWED),
        ("--mem=100 --gres=gpu:2", ALLOWED, ALLOWED),
        ("--mem=100 --gres=gpu:1", ALLOWED, REFUSED),
        ("--mem=100", REFUSED, REFUSED),
    ],
    ids=["no-job", "both", "one", "none"],
)
def test_a_process_opens_the_gpus_of_its_job(box: Box, srun: str, first: str, second: str) -> None:
    assert box.probe("devices", "alice", srun)["open"] == {"0": first, "1": second}


def test_jobs_side_by_side_have_different_gpus_under_the_same_number(box: Box) -> None:
    """CUDA_VISIBLE_DEVICES counts what the job can see; SLURM_JOB_GPUS is the number that the driver knows."""
    options = "--cpus-per-task=1 --mem=100 --gres=gpu:1"
    jobs = [box.submit(user, options, f"python3 {PROBE} devices; sleep 600") for user in ("alice", "bob")]
    for job in jobs:
        box.until(f"[ -s /tmp/job-{job} ]", f"job {job} says its GPU")
    found = [json_of(box.sh(f"cat /tmp/job-{job}")) for job in jobs]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0", "0"]
    assert [one["SLURM_JOB_GPUS"] for one in found] == ["0", "1"]
    assert [one["open"] for one in found] == [{"0": ALLOWED, "1": REFUSED}, {"0": REFUSED, "1": ALLOWED}]
