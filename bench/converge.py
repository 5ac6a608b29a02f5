"""What a run that has nothing to do asks of each host, counted by callbacks/count_modules.py in Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from lab.settings import CHECKOUT, Lab

from .figures import Figure

BUDGET = 15
PLAYBOOKS = ("playbooks/deploy_slurm.yml", "site.yml")
# The first one downloads the models and answers for all in the plan of the jobs: no other is asked more.
COMPUTE = "gpu1"


def figures(lab: Lab) -> list[Figure]:
    """Tasks that run a module on a compute host, each item of a loop counted, on a lab where nothing is to be done."""
    found = []
    for playbook in PLAYBOOKS:
        counts = count(lab, playbook)
        print(text(playbook, counts), flush=True)
        name = f"module tasks on a compute host, {Path(playbook).name} again"
        found.append(Figure(name, len(counts[COMPUTE]["tasks"]), "tasks", BUDGET))
    return found


def count(lab: Lab, playbook: str) -> dict[str, dict[str, list[str]]]:
    """Host -> names of its tasks and of the modules that were called on it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "counts.json"
        environment = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "count_modules",
            "ANSIBLE_NOCOLOR": "1",
            "BENCH_MODULES": str(target),
            "LLMOPS_LAB_STATE": str(lab.state),
        }
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), playbook, "--inventory", str(lab.inventory)]
        done = subprocess.run(argv, cwd=CHECKOUT, env={**os.environ, **environment}, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
        return dict(json.loads(target.read_text()))


def text(playbook: str, counts: dict[str, dict[str, list[str]]]) -> str:
    """The figures of each host, and the tasks of a compute host by name."""
    hosts = [f"{host} {len(one['tasks'])} tasks, {len(one['calls'])} calls" for host, one in sorted(counts.items())]
    names = [f"  {number} {name}" for name, number in Counter(counts[COMPUTE]["tasks"]).items()]
    return "\n".join([f"{playbook}: {'; '.join(hosts)}", *names])
