"""The health check, the prolog and the epilog of node_health under cgroup v2."""

from __future__ import annotations

from .box import Box

SMALL = "--cpus-per-task=1 --mem=100"


def test_a_missing_gpu_takes_the_node_out_and_back_in(box: Box) -> None:
    box.sh("rm /dev/nvidia1")
    try:
        box.until("sinfo -h -R -o %E | grep -q 'GPU missing: no device file /dev/nvidia1'", "the node is drained")
        job = box.submit("alice", f"{SMALL} --gres=gpu:1", "true")
        assert box.sh(f"squeue --noheader --format=%T --jobs={job}") == "PENDING\n"
    finally:
        box.sh("systemd-tmpfiles --create /etc/tmpfiles.d/lab-gpus.conf")
    box.until_state(job, "COMPLETED")


def test_the_epilog_ends_what_got_out_of_the_job(box: Box) -> None:
    """Started by something else (a timer, a crontab) in the job's name: out of reach of Slurm's own containers."""
    job = box.submit("alice", SMALL, "exec sleep 7500")
    box.until_running(job)
    box.sh(f"systemd-run --uid=alice --setenv=SLURM_JOB_ID={job} sleep 7501; systemd-run --uid=alice sleep 7502")
    box.until("[ $(pgrep -u alice -c -f 'sleep 750[12]$') = 2 ]", "both run")
    box.sh(f"scancel {job}", "alice")
    box.until("! pgrep -u alice -f 'sleep 7501$'", "the epilog ended it")
    # Hers too, but of no job.
    box.sh("pgrep -u alice -f 'sleep 7502$'")
