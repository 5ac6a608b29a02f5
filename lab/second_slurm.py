"""A Slurm beside the lab's own on its controller, in namespaces of its own: what a large one would cost and accept."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import podman
from .settings import Lab

FOLDER = "/var/tmp/llmops-slurm-conf"
RUNNER = Path(__file__).with_name("run_slurmctld.sh")


def prepare(lab: Lab) -> None:
    podman.exec_in(lab.container("ctl"), ["bash", "-c", f"rm -rf {FOLDER} && install -d -m 0755 {FOLDER}"])
    write(lab, "run_slurmctld.sh", RUNNER.read_text())


def name_hosts(lab: Lab, names: Sequence[str]) -> None:
    """slurmctld looks up the address of each of its nodes."""
    lines = [f"10.98.{i // 250}.{i % 250 + 1} {name}\n" for i, name in enumerate(names)]
    write(lab, "hosts", "10.99.0.1 ctl\n" + "".join(lines))


def write(lab: Lab, name: str, text: str) -> None:
    podman.run("exec", "-i", lab.container("ctl"), "tee", f"{FOLDER}/{name}", stdin=text)


def settings(plugin: str) -> dict[str, Any]:
    """The collection's own, but for what a second slurmctld must have apart, and for accounting, which would enter the
    cluster into the lab's database."""
    return {
        "ClusterName": "large",
        "SlurmctldHost": "ctl",
        "StateSaveLocation": f"{FOLDER}/state",
        "SlurmctldPidFile": f"{FOLDER}/slurmctld.pid",
        "SlurmctldLogFile": None,
        "AccountingStorageType": None,
        "AccountingStorageTRES": None,
        "AccountingStoreFlags": None,
        **({"TopologyPlugin": plugin} if plugin else {}),
    }


def ask(lab: Lab, command: str) -> str:
    """Start it, run a command beside it, end it."""
    return podman.exec_in(
        lab.container("ctl"), ["bash", "-lc", f"bash {FOLDER}/run_slurmctld.sh {FOLDER} bash -c {shlex.quote(command)}"]
    )
