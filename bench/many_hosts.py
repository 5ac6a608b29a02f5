"""What checking, planning and rendering for many hosts costs the control machine. Reaches no host, needs no lab."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.settings import CHECKOUT

from .figures import Figure

HOSTS = 1_000
BUDGET = 5.0
TURNS = 3
NODE = {"cpus": 96, "real_memory": 1_150_000, "gres": "gpu:h100:8"}
MEMORY_PER_CPU = 11_979


def figures() -> list[Figure]:
    """CPU seconds of one ansible-playbook and its children, the fastest of three."""
    with tempfile.TemporaryDirectory() as folder:
        variables = write(Path(folder), HOSTS)
        seconds = min(_cpu_seconds(Path(folder), variables) for _turn in range(TURNS))
    return [Figure(f"checks, plan and configuration for {HOSTS:,} hosts", seconds, "CPU-s", BUDGET)]


def write(folder: Path, count: int) -> Path:
    """An inventory of hosts that do not exist, and what an earlier run would have noted of them."""
    names = [f"node{number:04d}" for number in range(1, count + 1)]
    lines = [
        *("all:", "  children:", "    slurm_controller: {hosts: {ctl: {}}}"),
        f'    slurm_compute: {{hosts: {{"node[0001:{count:04d}]": {{}}}}}}',
        "    vllm: {children: {slurm_controller: {}, slurm_compute: {}}}",
    ]
    (folder / "hosts.yml").write_text("\n".join([*lines, ""]))
    noted = {name: {"node": {"name": name, **NODE}, "memory_per_cpu": MEMORY_PER_CPU, "cgroup": True} for name in names}
    variables = folder / "variables.json"
    # As the file on the controller is read: the text of a command's answer.
    variables.write_text(json.dumps({"__slurm_noted": {"stdout": json.dumps(noted)}}))
    return variables


def _cpu_seconds(folder: Path, variables: Path) -> float:
    program = str(Path(sys.executable).parent / "ansible-playbook")
    argv = [program, "-i", str(folder / "hosts.yml"), "-e", f"@{variables}", "bench/many_hosts.yml"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        argv, cwd=CHECKOUT, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, text=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    if f"NodeName=node[0001-{HOSTS}] " not in done.stdout:
        raise RuntimeError(f"slurm.conf does not have the {HOSTS} hosts:\n{done.stdout[-3000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
