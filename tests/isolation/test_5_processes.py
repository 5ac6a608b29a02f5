"""Processes of a job: who can end them, and that they all end with it."""

from __future__ import annotations

from .box import Box

SMALL = "--cpus-per-task=1 --mem=100"
# Out of the session, away from the parent, without the job's environment, deaf to polite signals.
DAEMONS = (
    "setsid --fork sleep 7001; (sleep 7002 &); env -i setsid --fork sleep 7003;"
    " setsid --fork bash -c 'trap \"\" TERM INT HUP; exec sleep 7004'; sleep 7005"
)


def started(box: Box, user: str, command: str) -> int:
    box.until(f"pgrep -u {user} -f '^{command}'", f"{command} of {user} runs")
    return int(box.sh(f"pgrep -u {user} -f '^{command}'"))


def test_another_users_processes_cannot_be_ended(box: Box) -> None:
    job = box.submit("bob", SMALL, "exec sleep 7010")
    inside = started(box, "bob", "sleep 7010")
    box.sh("setsid --fork sleep 7011 <&- >&- 2>&-", "bob")
    outside, daemon = started(box, "bob", "sleep 7011"), int(box.sh("pgrep -x slurmd"))
    for pid in (inside, outside, daemon):
        said = box.sh(f"cd /tmp; srun --quiet {SMALL} bash -c 'kill -9 {pid}' 2>&1", "alice", check=False)
        assert "Operation not permitted" in said
        box.sh(f"kill -0 {pid}")
    assert "Access/permission denied" in box.sh(f"scancel {job} 2>&1", "alice", check=False)
    box.sh(f"kill -9 {inside}", "bob")
    box.until(f"! kill -0 {inside} 2>&-", "bob ends his own")


def test_jobs_of_one_user_are_not_kept_from_each_other(box: Box) -> None:
    """Slurm makes no process namespace: what one job of a user may not do is use the resources of another."""
    box.submit("alice", SMALL, "exec sleep 7020")
    other = started(box, "alice", "sleep 7020")
    seen = box.sh(f"cd /tmp; srun --quiet {SMALL} bash -c 'cat /proc/{other}/cmdline; kill -9 {other}'", "alice")
    assert seen.startswith("sleep")
    box.until(f"! kill -0 {other} 2>&-", "her other job's process is gone")


def test_all_of_a_cancelled_job_is_gone_and_her_other_job_lives(box: Box) -> None:
    other = box.submit("alice", SMALL, "exec sleep 7100")
    job = box.submit("alice", SMALL, DAEMONS)
    box.until("[ $(pgrep -u alice -c -f '^sleep 700[1-5]') = 5 ]", "five processes of the job run")
    box.sh(f"scancel {job}", "alice")
    box.until("! pgrep -u alice -f '^sleep 700'", "all of them are gone")
    assert box.sh(f"squeue --noheader --format=%T --jobs={other}") == "RUNNING\n"
    started(box, "alice", "sleep 7100")


def test_a_job_has_time_to_end_itself(box: Box) -> None:
    """KillWait holds with process containers too: an engine finishes what it is answering."""
    job = box.submit("alice", SMALL, "trap 'sleep 4; echo finished; exit' TERM; echo begun; sleep 600 & wait")
    box.until(f"grep -q begun /tmp/job-{job}", "the job has begun")
    box.sh(f"scancel {job}", "alice")
    box.until(f"grep -q finished /tmp/job-{job}", "the job finished")


def test_a_job_cannot_leave_its_cgroup_nor_widen_it(box: Box) -> None:
    folder = "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
    attempts = [
        "echo $$ > /sys/fs/cgroup/cgroup.procs",
        "echo $$ > /sys/fs/cgroup/system.slice/cgroup.procs",
        f"echo max > {folder}/../../../memory.max",
        f"echo 0-1 > {folder}/cpuset.cpus",
    ]
    box.install("\n".join(f"({one}) 2>&1" for one in attempts) + "\n", "/usr/local/lib/leave.sh")
    said = box.sh(f"cd /tmp; srun --quiet {SMALL} bash /usr/local/lib/leave.sh", "alice", check=False)
    assert said.count("Permission denied") == len(attempts), said
    # The same words in root's mouth: the files are there and can be written.
    box.sh("echo $$ > /sys/fs/cgroup/system.slice/slurmstepd.scope/system/cgroup.procs")


def test_a_job_stays_confined_while_slurmd_restarts(box: Box) -> None:
    job = box.submit("alice", SMALL, "exec sleep 7200")
    pid = started(box, "alice", "sleep 7200")
    box.sh("systemctl restart slurmd")
    assert f"/job_{job}/" in box.sh(f"cat /proc/{pid}/cgroup")
    assert len(box.sh(f"taskset --cpu-list --pid {pid}").split(": ")[1].split(",")) == 1
    box.sh(f"scancel {job}", "alice")
    box.until(f"! kill -0 {pid} 2>&-", "the new slurmd ends it")
