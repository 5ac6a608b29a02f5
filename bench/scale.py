"""What clients wait for when the cluster is large: a real slurmctld with many nodes, beside the lab's own Slurm."""

from __future__ import annotations

import json
import statistics

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import slurm_ini

from lab import podman
from lab.second_slurm import FOLDER, ask, name_hosts, prepare, settings, write
from lab.settings import Lab

from .figures import Figure, ratio

SIZES = (100, 10_000)
TURNS = 40
# Held, so that no turn finds other work of the controller than the one before.
COMMANDS = ["sbatch --hold --output=/dev/null --wrap true", "squeue --json --name=nosuch", "scontrol ping"]
TIMES = """
import json, subprocess, sys, time
def once(command):
    begin = time.monotonic()
    subprocess.run(command, shell=True, check=True, capture_output=True, cwd="/")
    return time.monotonic() - begin
print("====" + json.dumps([[once(command) for _ in range(TURNS)] for command in COMMANDS]))
"""


def figures(lab: Lab) -> list[Figure]:
    """The time of each command with many nodes over that with few, both answered by an idle slurmctld."""
    prepare(lab)
    version = podman.exec_in(lab.container("ctl"), ["/opt/slurm/current/sbin/slurmctld", "-V"]).split()[-1]
    few, many = (_times(lab, count, version) for count in SIZES)
    podman.exec_in(lab.container("ctl"), ["rm", "-rf", FOLDER])
    print(f"seconds with {SIZES[0]} nodes {few}, with {SIZES[1]} nodes {many}", flush=True)
    return [
        ratio(f"{command.split()[0]} with {SIZES[1]:,} nodes / with {SIZES[0]}", many[command], few[command], 1.2)
        for command in COMMANDS
    ]


def _times(lab: Lab, count: int, version: str) -> dict[str, float]:
    names = [f"node{number:05d}" for number in range(count)]
    nodes = [{"name": name, "cpus": 8, "real_memory": 30_000} for name in names]
    partitions = [{"name": "gpu", "nodes": names, "default": True}]
    name_hosts(lab, names)
    write(lab, "slurm.conf", slurm_conf(settings(""), nodes, partitions, {}, version, []))
    write(lab, "cgroup.conf", slurm_ini({"CgroupPlugin": "disabled"}, "cgroup.conf", version))
    write(lab, "times.py", f"TURNS = {TURNS}\nCOMMANDS = {COMMANDS!r}\n{TIMES}")
    told = ask(lab, f"export PATH=/opt/slurm/current/bin:$PATH; sleep 20; python3 {FOLDER}/times.py")
    times = json.loads(told.split("====")[1])
    return {command: statistics.median(one) for command, one in zip(COMMANDS, times, strict=True)}
