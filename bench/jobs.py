"""What slurm_job costs: beside a loop of sbatch, and in requests to the controller."""

from __future__ import annotations

import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

from lab import podman
from lab.settings import CHECKOUT, Lab

from .figures import Figure, ratio, rounded

MANY = 50
WAITING = (1, 100, 1000)
TURNS = 5
WAIT_SECONDS = 20
OPTIONS = {"partition": "gpu", "mem": "1M", "output": "/dev/null", "time": "5"}
STATE = "/var/spool/slurmctld/job_state"
SCRIPT = "#!/bin/sh\nexec sleep 0\n"
# What the nodes and the jobs themselves send, whoever waits for them.
_OTHERS = re.compile(r"SUBMIT_BATCH|COMPLETE_|NODE_REGISTRATION|STATS_INFO|EPILOG|PROLOG|STEP|CANCEL|KILL")


def figures(lab: Lab) -> list[Figure]:
    bench = JobBench(lab)
    found = [*bench.many_shares(), *bench.questions()]
    bench.on_controller("scancel --user=vllm")
    return found


class JobBench:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def on_controller(self, command: str) -> str:
        return podman.exec_in(self._lab.container("ctl"), ["bash", "-lc", command])

    def _ansible(self, module: str, arguments: dict[str, object] | None = None, *, may_fail: bool = False) -> float:
        program = str(Path(sys.executable).parent / "ansible")
        argv = [program, "ctl", "--become", "-i", str(self._lab.inventory), "-m", module]
        argv += ["-a", json.dumps(arguments)] if arguments else []
        environment = {**os.environ, "LLMOPS_LAB_STATE": str(self._lab.state)}
        begin = time.monotonic()
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment, text=True, capture_output=True)
        if done.returncode and not may_fail:
            raise RuntimeError(f"{' '.join(argv[:8])}: {done.stdout[-2000:]}{done.stderr[-1000:]}")
        return time.monotonic() - begin

    def _jobs(self, count: int, **more: object) -> dict[str, object]:
        """Jobs that no earlier turn has made, under names of their own: ended ones are remembered for a while."""
        turn = str(time.time_ns())
        stamp = {"TURN": turn}
        jobs = [{"name": f"bench-{turn}-{number}"} for number in range(count)]
        return {
            "jobs": jobs,
            "script_content": SCRIPT,
            "environment": stamp,
            "options": OPTIONS,
            "user": "vllm",
            **more,
        }

    def many_shares(self) -> list[Figure]:
        """All over SSH, as the same user, Ansible's own start included on the one side.

        Each beside the loop that is as sure: sbatch's answer is enough for `confirm: accepted`, while the default sees
        the jobs once more in the state that slurmctld saves about every 5 s, for only then can they not be lost. The
        jobs are held: the compute hosts are on this machine too, and the jobs of one loop, with their prologs, would
        run while the next is measured.
        """
        flags = " ".join(f"--{name}={value}" for name, value in OPTIONS.items()) + " --hold"
        ssh = ["ssh", "-F", str(self._lab.state / "ssh_config"), "ctl", "sudo", "bash"]
        took: dict[str, list[float]] = {"raw loop": [], "raw loop, saved": [], "accepted": [], "saved": []}
        for _turn in range(TURNS):
            for kind in ("raw loop", "raw loop, saved"):
                name = f"raw-{time.time_ns()}"
                submit = f"sbatch {flags} --job-name={name}-$i --wrap 'sleep 0'"
                loop = f"for i in $(seq {MANY}); do {submit}; done"
                script = f"cd ~vllm; runuser -u vllm -- bash -c {shlex.quote(loop)}\n"
                if kind.endswith("saved"):
                    script += f"until grep -aqF {name}-{MANY} {STATE}; do sleep 0.1; done\n"
                begin = time.monotonic()
                subprocess.run(ssh, input=script, text=True, check=True, capture_output=True)
                took[kind].append(time.monotonic() - begin)
            for confirm in ("accepted", "saved"):
                wanted = self._jobs(MANY, confirm=confirm, options={**OPTIONS, "hold": True})
                took[confirm].append(self._ansible("llmops.cluster.slurm_job", wanted))
            self.on_controller("scancel --user=vllm --state=PENDING")
        print(", ".join(f"{kind} {rounded(times)} s" for kind, times in took.items()), flush=True)
        middle = {kind: statistics.median(times) for kind, times in took.items()}
        jobs = f"{MANY} jobs in one task"
        return [
            ratio(f"{jobs}, accepted / raw sbatch loop", middle["accepted"], middle["raw loop"], 3),
            ratio(f"{jobs} / loop until they are saved", middle["saved"], middle["raw loop, saved"], 3),
        ]

    def questions(self) -> list[Figure]:
        """Requests to slurmctld while so many held jobs are waited for, for the same time each."""
        counts = {}
        for count in WAITING:
            held = self._jobs(count, options={**OPTIONS, "hold": True})
            self._ansible("llmops.cluster.slurm_job", held)
            self.on_controller("sdiag --reset")
            wait = {**held, "state": "running", "queue_timeout": WAIT_SECONDS}
            self._ansible("llmops.cluster.slurm_job", wait, may_fail=True)
            counts[count] = self._requests()
            self._ansible("llmops.cluster.slurm_job", {**held, "state": "absent"})
        print(f"requests while waiting {WAIT_SECONDS} s for so many jobs: {counts}", flush=True)
        least = counts[WAITING[0]]
        return [
            Figure(f"requests to slurmctld, waiting for {count} / for 1", counts[count] / least, "ratio", 1.0, 1.0)
            for count in WAITING[1:]
        ]

    def _requests(self) -> int:
        text = self.on_controller("sdiag").split("by message type")[-1].split("by user")[0]
        found = re.findall(r"(\w+)\s+\(\s*\d+\)\s+count:(\d+)", text)
        return sum(int(number) for name, number in found if not _OTHERS.search(name))
