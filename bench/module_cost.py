"""What a task of each module costs that has nothing to do, beside Ansible's ping."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from lab import podman
from lab.settings import CHECKOUT, Lab

from .figures import Figure, rounded
from .jobs import OPTIONS

TURNS = 9
JOB: dict[str, Any] = {
    "name": "bench-kept",
    "script_content": "#!/bin/sh\nexec sleep 600\n",
    "user": "vllm",
    "options": {**OPTIONS, "hold": True},
}
LISTING = "squeue --json --states=all --user=vllm --name=bench-kept"


def figures(lab: Lab) -> list[Figure]:
    """Each module's run over the ping's of the same turn: where a machine's speed drifts, it does so for both."""
    slurm = _seconds(lab, LISTING) - _seconds(lab, "true")
    with tempfile.TemporaryDirectory() as folder:
        plays = {name: _play(Path(folder), name, host, task) for name, (host, task) in _tasks(lab).items()}
        _run(lab, plays["slurm_job"])
        took: dict[str, list[float]] = {name: [] for name in plays}
        for _turn in range(TURNS):
            for name, play in plays.items():
                took[name].append(_run(lab, play) - (slurm if "slurm" in name else 0.0))
    podman.exec_in(lab.container("ctl"), ["scancel", "--user=vllm", "--name=bench-kept"])
    print(", ".join(f"{name} {rounded(times)} s" for name, times in took.items()), flush=True)
    pings = took.pop("ping")
    shares = {name: [one / ping for one, ping in zip(times, pings, strict=True)] for name, times in took.items()}
    return [Figure(f"a run of {name} / of ping", median(found), "ratio", 1.15, 1.0) for name, found in shares.items()]


def _tasks(lab: Lab) -> dict[str, tuple[str, dict[str, Any]]]:
    """Host and task by name: a job that is as wanted, a model that is here, a port that is open."""
    snapshot = podman.exec_in(lab.container("gpu1"), ["sh", "-c", "ls -d /opt/models/models--*/snapshots/*"]).split()[0]
    _root, _opt, _models, folder, _snapshots, commit = snapshot.split("/")
    model = {"repo_id": folder.removeprefix("models--").replace("--", "/"), "revision": commit}
    return {
        "ping": ("ctl", {"ansible.builtin.ping": {}}),
        "slurm_job": ("ctl", {"llmops.cluster.slurm_job": JOB}),
        "slurm_job_info": ("ctl", {"llmops.cluster.slurm_job_info": {"name": JOB["name"], "user": JOB["user"]}}),
        "hf_model": ("gpu1", {"llmops.cluster.hf_model": model}),
        "vllm_health": ("ctl", {"llmops.cluster.vllm_health": {"host": "localhost", "port": 22, "level": "tcp"}}),
    }


def _play(folder: Path, name: str, host: str, task: dict[str, Any]) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(json.dumps([{"hosts": host, "gather_facts": False, "become": True, "tasks": [task]}]))
    return path


def _run(lab: Lab, play: Path) -> float:
    program = str(Path(sys.executable).parent / "ansible-playbook")
    begin = time.monotonic()
    environment = {**os.environ, "LLMOPS_LAB_STATE": str(lab.state)}
    subprocess.run(
        [program, "-i", str(lab.inventory), str(play)], cwd=CHECKOUT, env=environment, check=True, capture_output=True
    )
    return time.monotonic() - begin


def _seconds(lab: Lab, command: str) -> float:
    """Of one run of a command on the controller, the mean of twenty."""
    begin = time.monotonic()
    podman.exec_in(lab.container("ctl"), ["bash", "-lc", f"for i in $(seq 20); do {command} >/dev/null; done"])
    return (time.monotonic() - begin) / 20
