"""A job that takes more memory than it asked for is ended, and nobody else."""

from __future__ import annotations

from .box import PROBE, Box, json_of

TAKES, LESS, MORE = 300, "--cpus-per-task=1 --mem=150", "--cpus-per-task=1 --mem=400"


def test_who_takes_too_much_is_ended_and_the_neighbour_lives(box: Box) -> None:
    neighbour = box.submit("bob", LESS, f"python3 {PROBE} memory 80; sleep 600")
    box.until(f"[ -s /tmp/job-{neighbour} ]", "the neighbour has its memory")
    greedy = box.submit("alice", LESS, f"python3 {PROBE} memory {TAKES}")
    box.until_state(greedy, "OUT_OF_MEMORY")
    assert "took" not in box.sh(f"cat /tmp/job-{greedy}")
    assert box.sh(f"squeue --noheader --format=%T --jobs={neighbour}") == "RUNNING\n"
    assert (
        int(box.sh("awk '/^SwapTotal:/ {total=$2} /^SwapFree:/ {free=$2} END {print total - free}' /proc/meminfo")) == 0
    )

    enough = box.submit("alice", MORE, f"python3 {PROBE} memory {TAKES}")
    box.until_state(enough, "COMPLETED")
    assert json_of(box.sh(f"cat /tmp/job-{enough}")) == {"took": TAKES, "swapped_kib": 0}


def test_swap_is_no_way_round(box: Box) -> None:
    """The host has swap that would do: the same memory limit without Slurm's word on swap is lived with."""
    scope = "systemd-run --quiet --wait --pipe --uid=alice --property=MemoryMax=150M"
    without_slurm = json_of(box.sh(f"{scope} python3 {PROBE} memory {TAKES}"))
    assert without_slurm["swapped_kib"] > 100 * 1024
    assert "took" not in box.sh(f"srun --quiet {LESS} python3 {PROBE} memory {TAKES}", "alice", check=False)


def test_files_in_memory_count(box: Box) -> None:
    assert "took" not in box.sh(f"srun --quiet {LESS} python3 {PROBE} memory {TAKES} /dev/shm", "alice", check=False)
    assert box.probe(f"memory {TAKES} /dev/shm", "alice", MORE)["took"] == TAKES


def test_what_the_kernel_ends_is_the_process_and_slurm_tells_of_it(box: Box) -> None:
    """A script that goes on after the loss goes on: the job's state says at its end what happened."""
    job = box.submit("alice", LESS, f"python3 {PROBE} memory {TAKES}; echo ended with $?")
    box.until_state(job, "OUT_OF_MEMORY")
    assert "ended with 137" in box.sh(f"cat /tmp/job-{job}")
