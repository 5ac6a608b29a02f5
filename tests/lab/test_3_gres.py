"""GPUs are scheduled: the device files are made, the scheduling is Slurm's own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster

SLEEP = "--parsable --nodelist=gpu2 --gres=gpu:1 --output=/home/vllm/gres_%j.out --wrap"


@pytest.fixture
def submit(site: Cluster) -> Iterator[list[str]]:
    """Three jobs for one GPU each on a host that has two."""
    show = "'echo $SLURM_JOB_GPUS $CUDA_VISIBLE_DEVICES; sleep 120'"
    jobs = [site.run("ctl", f"sbatch {SLEEP} {show}", user="vllm").strip() for _ in range(3)]
    yield jobs
    site.run("ctl", f"scancel {' '.join(jobs)}", user="vllm")


def _states(site: Cluster, jobs: list[str]) -> dict[str, tuple[str, str]]:
    rows = site.jobs("%i %T %r", f"--jobs={','.join(jobs)}")
    return {row.split()[0]: (row.split()[1], row.split()[2]) for row in rows}


def test_third_job_waits_and_each_sees_its_own_gpu(site: Cluster, submit: list[str]) -> None:
    deadline = time.monotonic() + 60
    while True:
        states = _states(site, submit)
        # A job whose prolog is still at work counts as running too, and has written nothing yet.
        settled = list(states.values()).count(("RUNNING", "None")) == 2
        if (settled and ("PENDING", "Resources") in states.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert sorted(states.values()) == [("PENDING", "Resources"), ("RUNNING", "None"), ("RUNNING", "None")], states
    running = [job for job, (state, _) in states.items() if state == "RUNNING"]
    seen = [site.run("ctl", f"cat /home/vllm/gres_{job}.out").split() for job in running]
    assert sorted(physical for physical, _ in seen) == ["0", "1"], seen
    assert all(visible in ("0", physical) for physical, visible in seen), seen
    first_to_end = running[0]
    site.run("ctl", f"scancel {first_to_end}", user="vllm")
    waiting = next(job for job, (state, _) in states.items() if state == "PENDING")
    deadline = time.monotonic() + 60
    while _states(site, [waiting]).get(waiting, ("", ""))[0] != "RUNNING":
        assert time.monotonic() < deadline, f"job {waiting} did not start when a GPU was free"
        time.sleep(0.5)
