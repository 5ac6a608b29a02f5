"""What a job receives is what was given, byte for byte, and nothing else runs: real jobs, awkward values.

LLMOPS_VALUES says how many values are sent (default: 500).
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import podman
from lab.settings import CHECKOUT
from tests.awkward import CANARY, values
from tests.cluster import Cluster

COUNT = int(os.environ.get("LLMOPS_VALUES", "500"))
A_JOB = 250
ARGUMENTS = 100
FOLDER = "/home/vllm/llmops-values"
PLAYBOOK = Path(__file__).with_name("submit_values.yml")
# Names of jobs and of folders that are allowed, and that a careless program trips over.
JOB_NAMES = ["None", "null", "0", "a.b+c-d_e", "n" * 128, "_"]
PLACES = ["plain", "two words", "a b=c WorkDir=x", f"$(touch {CANARY})", "quo'te\"s", "line\nbreak", "-dash", "é😀"]
# Variables that programs on the way act on.
VARIABLES = {
    "PATH": "/odd folder:/usr/bin:/bin",
    "SHELL": "/bin/zsh",
    "LANG": "de_DE",
    "LD_LIBRARY_PATH": "/nowhere",
    "BASH_ENV": "/nowhere",
    "IFS": "x\n",
    "PWD": "/x",
    "TZ": "Asia/Tokyo",
    "POSIXLY_CORRECT": "1",
    "SQUEUE_FORMAT": "%i",
}
# Sent by the job: base64 keeps every byte.
TELL = """#!/usr/bin/python3
import base64, json, os, sys

def text(raw):
    return base64.b64encode(raw).decode()

told = {
    "args": [text(os.fsencode(word)) for word in sys.argv[1:]],
    "environment": {text(name): text(value) for name, value in os.environb.items()},
    "cwd": text(os.getcwdb()),
}
with open("@FOLDER@/told/%s.json" % os.environ["SLURM_JOB_NAME"], "x") as handle:
    json.dump(told, handle)
print("told")
""".replace("@FOLDER@", FOLDER)
# What a job finds beside what was given: Slurm's own, and what the module's manual page promises.
OWN_PREFIXES = ("SLURM_", "SLURMD_", "HYDRA_", "I_MPI_", "OMPI_", "PRTE_")
OWN = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "ENVIRONMENT", "TMPDIR", "HOSTNAME", "LC_CTYPE"}


@dataclass
class Wanted:
    name: str
    args: list[str]
    environment: dict[str, str]
    chdir: str
    options: dict[str, str]


def wanted_jobs(count: int) -> list[Wanted]:
    words = values(count, seed=20261121)
    jobs = []
    for index, start in enumerate(range(0, count, A_JOB)):
        part = words[start : start + A_JOB]
        place = PLACES[index % len(PLACES)]
        jobs.append(
            Wanted(
                name=JOB_NAMES[index] if index < len(JOB_NAMES) else f"values-{index}",
                args=part[:ARGUMENTS],
                environment={
                    **{f"VALUE_{number}": value for number, value in enumerate(part[ARGUMENTS:])},
                    **VARIABLES,
                    # A job that an earlier run of this test completed would not run again.
                    "RUN": str(time.time_ns()),
                },
                chdir=f"{FOLDER}/places/{place}",
                options={"output": f"o'ut $(touch {CANARY}) %x {index}.log"},
            )
        )
    return jobs


@pytest.fixture(scope="session")
def hosts(site: Cluster) -> Cluster:
    """The script, and the folders that jobs start in, on every host."""
    places = " ".join(shlex.quote(f"{FOLDER}/places/{place}") for place in PLACES)
    for host in ("ctl", "gpu1", "gpu2"):
        command = (
            f"rm -rf {FOLDER}; mkdir -p {FOLDER}/told {places}; cat > {FOLDER}/tell.py; chmod 755 {FOLDER}/tell.py; "
        )
        command += f"chown -R vllm: {FOLDER}"
        podman.exec_in(site.lab.container(host), ["bash", "-c", command], stdin=TELL)
    return site


def told(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """What the jobs wrote, by their names. A job that ran twice fails: its file is there already."""
    look = f'cd {FOLDER}/told && for f in *.json; do echo "$f $(cat "$f")"; done'
    found: dict[str, dict[str, Any]] = {}
    # Whether the hosts share the folder or not.
    for host in ("gpu1", "gpu2"):
        for line in cluster.run(host, look).splitlines():
            name, _, text = line.partition(".json ")
            if text.startswith("{"):
                found[name] = json.loads(text)
    return found


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def canaries(cluster: Cluster) -> list[str]:
    """Files that a command inside a value would have made, on any host or here."""
    found = []
    for host in ("ctl", "gpu1", "gpu2"):
        # Some are file systems of their own. The folder of that name is meant to be there.
        places = "/ /home/vllm /tmp /run /dev/shm"
        look = f"find {places} -xdev -name '*{CANARY}' -not -path '{FOLDER}/places/$(touch {CANARY})' 2>/dev/null"
        found += [f"{host}:{line}" for line in cluster.run(host, look, check=False).splitlines()]
    here = [Path("/tmp"), Path("/"), Path.home(), CHECKOUT, Path.cwd()]
    return found + [str(place / CANARY) for place in here if (place / CANARY).exists()]


def test_jobs_receive_what_was_given(hosts: Cluster, tmp_path: Path) -> None:
    jobs = wanted_jobs(COUNT)
    assert sum(len(job.args) + len(job.environment) - len(VARIABLES) - 1 for job in jobs) == COUNT
    jobs_file = tmp_path / "jobs.json"
    jobs_file.write_text(json.dumps([asdict(job) for job in jobs]), encoding="utf-8")
    arguments = [str(PLAYBOOK), "--extra-vars", json.dumps({"jobs_file": str(jobs_file)})]
    first = hosts.play(*arguments)
    assert first.rc == 0, first.output[-6000:]
    found = told(hosts)
    assert set(found) == {job.name for job in jobs}
    wrong = [problem for job in jobs for problem in differences(job, found[job.name])]
    assert not wrong, "\n".join(wrong[:20])
    assert canaries(hosts) == []
    # The same values are the same job, which is done.
    again = hosts.play(*arguments)
    assert (again.rc, again.changed) == (0, 0), again.output[-3000:]
    assert len(told(hosts)) == len(jobs)


def differences(job: Wanted, seen: dict[str, Any]) -> list[str]:
    found = []
    args = [decoded(word) for word in seen["args"]]
    if args != [word.encode() for word in job.args]:
        found.append(f"{job.name}: arguments {args[:3]!r}..., wanted {job.args[:3]!r}...")
    environment = {decoded(name).decode(): decoded(value) for name, value in seen["environment"].items()}
    for name, value in job.environment.items():
        if environment.pop(name, None) != value.encode():
            found.append(f"{job.name}: {name} is not {value!r}")
    more = {name for name in environment if name not in OWN and not name.startswith(OWN_PREFIXES)}
    if more:
        found.append(f"{job.name}: variables that nobody gave: {sorted(more)}")
    if decoded(seen["cwd"]) != job.chdir.encode():
        found.append(f"{job.name}: it ran in {decoded(seen['cwd'])!r}, wanted {job.chdir!r}")
    return found
