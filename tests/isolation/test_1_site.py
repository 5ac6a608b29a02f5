"""One host that is a whole cluster, configured as in production."""

from __future__ import annotations

from .box import FOLDER, Box, json_of
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


def test_a_node_that_grew_is_put_back_in_service(box: Box) -> None:
    """What the role does when slurm.conf changes, with a node that had one core before."""
    conf, cpus = "/etc/slurm/slurm.conf", "scontrol show node box --json | grep -q '\"cpus\": {}'"
    box.sh(f"sed -i 's/ CPUs=2 / CPUs=1 /' {conf} && scontrol reconfigure")
    box.until(cpus.format(1), "the node has one core")
    box.sh(f"sed -i 's/ CPUs=1 / CPUs=2 /' {conf} && systemctl restart slurmctld && scontrol reconfigure")
    box.until(cpus.format(2), "the node has two cores")
    # Slurm's own fault, without which there were nothing to mend.
    box.until("sinfo -h -N -o %T%E | grep -q 'drain.*Low CPUs'", "slurmctld drained the node")
    done = box.play(str(FOLDER / "truth.yml"))
    assert (done.rc, done.changed) == (0, 1), done.output
    box.until("sinfo -h -N -o %T | grep -qx idle", "the node is in service")

    # A person's word stays.
    box.sh("scontrol update nodename=box state=drain reason='Low CPUs, says the admin'")
    done = box.play(str(FOLDER / "truth.yml"))
    assert (done.rc, done.changed) == (0, 0), done.output
    box.sh("scontrol update nodename=box state=resume")


def test_a_second_run_changes_nothing(box: Box) -> None:
    again = box.play(PLAYBOOK)
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
