"""What the molecule scenarios ask of the jobs that molecule/long_job.yml left, after a change of the cluster."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
SECONDS = 90


def jobs(host: Host) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads((Path(host.backend.ssh_config).parent / "jobs.json").read_text())
    return found


def accounted(host: Host, job: int) -> str:
    text: str = host.check_output(f"sacct --noheader --parsable2 --allocations --jobs={job} --format=State,ExitCode")
    return text


def check_long_job_goes_on(host: Host) -> None:
    known = jobs(host)
    assert (
        host.check_output(f"squeue --noheader --jobs={known['long']} --format='%T %S'") == f"RUNNING {known['began']}"
    )
    assert "Restarts=0 " in host.check_output(f"scontrol show job {known['long']}")


def check_both_are_accounted(host: Host) -> None:
    known = jobs(host)
    assert accounted(host, known["ended"]) == "COMPLETED|0:0"
    assert accounted(host, known["long"]) == "RUNNING|0:0"


def check_long_job_ends(host: Host) -> None:
    """Its step hears the file, its batch script starts one more step, and the controller hears of the end."""
    job = jobs(host)["long"]
    host.check_output("touch /home/vllm/go")
    deadline = time.monotonic() + SECONDS
    while (state := accounted(host, job)) == "RUNNING|0:0" and time.monotonic() < deadline:
        time.sleep(1)
    assert state == "COMPLETED|0:0"
