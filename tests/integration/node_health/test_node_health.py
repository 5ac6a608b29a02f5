"""A sick node is drained with a reason in words, and comes back when it is well. On real daemons."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from .conftest import INTERVAL, Nodes

GONE = "GPU missing: no device file /dev/nvidia1"
# Stands in for NVIDIA's command, which the lab has not: it says what the test wants it to say.
FAKE_SMI = "/usr/local/bin/fake-nvidia-smi"
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.113"
FINE = "0, 00000000:35:00.0, 0, No, No, No, None\n1, 00000000:36:00.0, 0, No, No, No, None"


@contextlib.contextmanager
def without_gpu(nodes: Nodes, name: str) -> Iterator[None]:
    nodes.run(name, "rm -f /dev/nvidia1")
    try:
        yield
    finally:
        nodes.run(name, "systemd-tmpfiles --create /etc/tmpfiles.d/lab-gpus.conf")


def test_slurm_itself_drains_and_resumes(nodes: Nodes) -> None:
    with without_gpu(nodes, "gpu1"):
        nodes.until_drained("gpu1", GONE)
        assert "DRAIN" not in nodes.node("gpu2")[0]
        with nodes.settings("gpu1", mounts=["/home/vllm", "/mnt/nowhere"]):
            nodes.until_drained("gpu1", f"{GONE}; mount gone: /mnt/nowhere")
    nodes.until_resumed("gpu1")


@pytest.mark.parametrize("reason", ["fan", "node_health: my own words"], ids=["a-reason", "one-that-looks-like-ours"])
def test_the_drain_of_an_admin_stays(nodes: Nodes, reason: str) -> None:
    nodes.run("ctl", f"scontrol update nodename=gpu1 state=drain reason='{reason}'")
    nodes.checks("gpu1")
    assert nodes.node("gpu1")[1] == reason
    with without_gpu(nodes, "gpu1"):
        nodes.checks("gpu1")
        assert nodes.node("gpu1")[1] == reason
    nodes.checks("gpu1")
    state, found = nodes.node("gpu1")
    assert ("DRAIN" in state, found) == (True, reason)


def test_an_admin_takes_over_our_drain(nodes: Nodes) -> None:
    with without_gpu(nodes, "gpu1"):
        nodes.checks("gpu1")
        assert nodes.node("gpu1")[1] == f"node_health: {GONE} (resumes by itself)"
        nodes.run("ctl", "scontrol update nodename=gpu1 state=drain reason='card ordered'")
        nodes.checks("gpu1")
    nodes.checks("gpu1")
    state, reason = nodes.node("gpu1")
    assert ("DRAIN" in state, reason) == (True, "card ordered")


def test_a_node_that_is_down_is_left_alone(nodes: Nodes) -> None:
    # A node that goes down takes its jobs with it, such as the one that serves.
    name = next(name for name in ("gpu2", "gpu1") if not nodes.jobs("%i", f"--nodelist={name}"))
    nodes.run("ctl", f"scontrol update nodename={name} state=down reason=power")
    with without_gpu(nodes, name):
        nodes.checks(name)
    assert nodes.node(name) == ({"DOWN"}, "power")


def test_a_full_disk(nodes: Nodes) -> None:
    nodes.run("gpu1", "mkdir -p /mnt/tiny && mount -t tmpfs -o size=2M tiny /mnt/tiny")
    try:
        with nodes.settings("gpu1", disks=[{"path": "/mnt/tiny", "min_free_mb": 2}]):
            nodes.checks("gpu1")
            assert "DRAIN" not in nodes.node("gpu1")[0]
            nodes.run("gpu1", "head -c 1500000 /dev/zero > /mnt/tiny/filler")
            nodes.checks("gpu1")
            reason = "node_health: disk full: /mnt/tiny has 0 MiB free, 2 wanted (resumes by itself)"
            assert nodes.node("gpu1")[1] == reason
            nodes.run("gpu1", "rm /mnt/tiny/filler")
            nodes.checks("gpu1")
            assert "DRAIN" not in nodes.node("gpu1")[0]
    finally:
        nodes.run("gpu1", "umount /mnt/tiny")


def test_a_fake_nvidia_smi_with_a_fault(nodes: Nodes) -> None:
    def say(script: str) -> None:
        nodes.run("gpu1", f"cat > {FAKE_SMI} <<'E'\n#!/bin/sh\n{script}\nE\nchmod 755 {FAKE_SMI}")

    try:
        with nodes.settings("gpu1", gpu_source="nvidia-smi", nvidia_smi=FAKE_SMI, nvidia_smi_timeout=2):
            say(f"echo '{MISMATCH}'; exit 18")
            nodes.checks("gpu1")
            words = "NVIDIA driver and library do not match (library 535.113), reboot"
            assert nodes.node("gpu1")[1] == f"node_health: {words} (resumes by itself)"
            say("exec sleep 60")
            nodes.checks("gpu1")
            assert nodes.node("gpu1")[1] == "node_health: nvidia-smi gave no answer in time (resumes by itself)"
            say(f"echo '{FINE}'")
            nodes.checks("gpu1")
            assert "DRAIN" not in nodes.node("gpu1")[0]
    finally:
        nodes.run("gpu1", f"rm -f {FAKE_SMI}")


@pytest.mark.slow
def test_a_prolog_gives_the_job_to_the_other_node(nodes: Nodes) -> None:
    nodes.run("ctl", "scontrol update nodename=gpu2 state=drain reason=wait")
    with nodes.without_checks("gpu1"), without_gpu(nodes, "gpu1"):
        job = nodes.submit("sleep 1", "--gres=gpu:1", "--cpus-per-task=1", "--mem=100")
        nodes.until("the prolog drains gpu1", lambda: "DRAIN" in nodes.node("gpu1")[0])
        assert nodes.node("gpu1")[1] == f"node_health: {GONE} (resumes by itself)"
        nodes.run("ctl", "scontrol update nodename=gpu2 state=resume")
        # Slurm waits two minutes before it starts a job anew that was requeued.
        nodes.until("the job is given back", lambda: nodes.job(job)["restart_cnt"] == 1)
        nodes.until("the job has run", lambda: nodes.ended(job), 300)
    assert (nodes.job(job)["nodes"], nodes.job(job)["hold"]) == ("gpu2", False)
    nodes.until_resumed("gpu1")


def test_a_fault_of_the_program_stops_no_job(nodes: Nodes) -> None:
    with nodes.settings("gpu1", unknown=1):
        job = nodes.submit("true", "--nodelist=gpu1", "--mem=100")
        nodes.until("the job has run", lambda: nodes.ended(job))
        nodes.checks("gpu1")
        assert "DRAIN" not in nodes.node("gpu1")[0]
    assert "changed nothing: TypeError" in nodes.run("gpu1", "journalctl -t node_health -n 5 --no-pager -o cat")


def test_an_epilog_ends_what_its_own_job_left(nodes: Nodes) -> None:
    on_gpu1 = ("--nodelist=gpu1", "--mem=100", "--cpus-per-task=1")
    other = nodes.submit("sleep 7001 & sleep 7002", *on_gpu1)
    # Of the same user, and of no job.
    nodes.run("gpu1", "setsid --fork sleep 7003", user="vllm")
    try:
        nodes.until("the other job runs", lambda: nodes.job(other)["job_state"] == ["RUNNING"])
        job = nodes.submit(
            "setsid --fork sleep 7004; setsid --fork env --unset=SLURM_JOB_ID sleep 7005; sleep 1", *on_gpu1
        )
        nodes.until("the job has run", lambda: nodes.ended(job))

        def sleepers() -> set[str]:
            return set(nodes.run("gpu1", "pgrep -af '^sleep 700' | cut -d' ' -f3", check=False).split())

        # 7005 hid whose it is and holds no GPU: nobody's word makes it this job's.
        nodes.until("the epilog is through", lambda: "7004" not in sleepers())
        assert sleepers() == {"7001", "7002", "7003", "7005"}
        said = nodes.run("gpu1", "journalctl -t node_health -n 5 --no-pager -o cat")
        assert f"job {job} of user 403 had left 1 processes, 1 were ended" in said
    finally:
        nodes.run("ctl", f"scancel {other}")
        nodes.run("gpu1", "pkill -u vllm -f '^sleep 700'", check=False)


def test_a_prolog_is_quick(nodes: Nodes) -> None:
    times = []
    for _ in range(5):
        started = time.monotonic()
        nodes.run("gpu1", "SLURM_JOB_ID=1 SLURM_JOB_GPUS=0 /usr/local/libexec/llmops/node-health prolog")
        times.append(time.monotonic() - started)
    # With podman's own start, on a machine of two cores that others use.
    assert min(times) < 1


def test_a_check_takes_less_than_an_interval(nodes: Nodes) -> None:
    started = time.monotonic()
    nodes.checks("gpu1")
    assert time.monotonic() - started < INTERVAL / 9
