"""One host that is a whole cluster, configured as in production."""

from __future__ import annotations

from .box import Box, json_of
from .conftest import PLAYBOOK


def test_jobs_are_confined_by_cgroup_v2(box: Box) -> None:
    """Nothing of what a lab of containers has to leave out is left out here."""
    assert box.sh("stat --file-system --format=%T /sys/fs/cgroup") == "cgroup2fs\n"
    assert box.sh("grep -v '^#' /etc/slurm/cgroup.conf").split() == [
        "ConstrainCores=yes",
        "ConstrainDevices=yes",
        "ConstrainRAMSpace=yes",
        "ConstrainSwapSpace=yes",
    ]
    settings = box.sh("cat /etc/slurm/slurm.conf")
    for line in ("ProctrackType=proctrack/cgroup", "TaskPlugin=task/cgroup,task/affinity", "PrologFlags=Contain"):
        assert f"\n{line}\n" in settings
    assert "config_overrides" not in settings
    assert "cgroup_v2" in box.sh("grep -o cgroup_v2.so /proc/$(pgrep -x slurmd)/maps | head -1")


def test_slurmctld_believes_what_the_host_has(box: Box) -> None:
    node = json_of(box.sh("scontrol show node box --json"))["nodes"][0]
    cores = int(box.sh("nproc"))
    memory = int(box.sh("awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo"))
    swap = int(box.sh("awk '/^SwapTotal:/ {print int($2 / 1024)}' /proc/meminfo"))
    assert (node["cpus"], node["real_memory"]) == (cores, memory - 1024)
    assert (cores, swap > 0) == (2, True)
    assert node["gres"].startswith("gpu:l4:2")
    assert "INVALID_REG" not in node["state"]
    assert "DRAIN" not in node["state"]
    has = box.sh("/opt/slurm/current/sbin/slurmd -C")
    assert f"CPUs={cores} " in has
    assert f"RealMemory={memory}" in has


def test_more_than_the_host_has_is_refused(box: Box) -> None:
    done = box.play(PLAYBOOK, "--extra-vars", '{"slurm_node_settings": {"real_memory": 99999}}')
    assert done.rc != 0
    assert "real_memory of box is 99999; allowed is at most" in done.words, done.output[-3000:]


def test_a_second_run_changes_nothing(box: Box) -> None:
    again = box.play(PLAYBOOK)
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
