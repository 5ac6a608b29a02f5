"""Who does the work under a fault: the module slurm_job, or a plain script around sbatch."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Protocol

from lab import podman

from .model import Answer, Call
from .stage import FOLDER, USER, Stage

# Longer than anything may take: the client's patience is 120 seconds, and calls follow one another.
CALL_SECONDS = 400


@dataclass
class Running:
    """A call under way."""

    process: subprocess.Popen[str]
    actor: Actor
    stdin: str
    began: float

    def wait(self) -> Answer:
        out, err = self.process.communicate(self.stdin, timeout=CALL_SECONDS)
        return self.actor.read(self.process.returncode, out, err, time.monotonic() - self.began)


class Actor(Protocol):
    stage: Stage
    job_name: str

    def start(self, call: Call, *, kill_after: float | None = None) -> Running: ...

    def run(self, call: Call) -> Answer: ...

    def read(self, rc: int, out: str, err: str, seconds: float) -> Answer: ...


def _words(warning: Any) -> str:
    """ansible-core 2.19 hands warnings on as structures, older ones as text."""
    return str(warning["event"]["msg"]) if isinstance(warning, dict) and "event" in warning else str(warning)


def job_options(stage: Stage, call: Call) -> dict[str, Any]:
    options = {"output": f"{FOLDER}/state/%x-%j.out", "time": "60", **call.options}
    return {name: stage.filled(value) for name, value in options.items()}


def _start(actor: Actor, call: Call, command: str, stdin: str, kill_after: float | None) -> Running:
    if kill_after is not None:
        # Only the program dies, as with `kill -9`: what it started lives on.
        command = f"{command} <&0 & sleep {kill_after:.3f}; kill -9 $! && wait $!; exit 137"
    environment = [word for name, value in actor.stage.environment.items() for word in ("--env", f"{name}={value}")]
    container = actor.stage.cluster.lab.container(call.host)
    argv = podman.argv("exec", "-i", *environment, container, "bash", "-c", command)
    actor.stage.note(f"{type(actor).__name__} on {call.host}: {call.state} {actor.job_name} ({call.script})")
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=podman.environment(),
    )
    return Running(process, actor, stdin, time.monotonic())


@dataclass
class SlurmJob:
    """The module, run on the host as Ansible runs it."""

    stage: Stage
    job_name: str

    def options(self, call: Call) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "name": self.job_name,
            "user": USER,
            "state": call.state,
            "on_change": call.on_change,
            "poll_interval": 0.5,
            **call.limits,
        }
        if call.state != "absent":
            wanted["script"] = f"{FOLDER}/scripts/{call.script}.sh"
            wanted["options"] = job_options(self.stage, call)
        return wanted

    def start(self, call: Call, *, kill_after: float | None = None) -> Running:
        stdin = json.dumps({"ANSIBLE_MODULE_ARGS": self.options(call)})
        return _start(self, call, f"python3 {FOLDER}/run_module.py slurm_job", stdin, kill_after)

    def run(self, call: Call) -> Answer:
        answer = self.start(call).wait()
        self.stage.note(f"  {answer.seconds:.1f} s, failed={answer.failed} changed={answer.changed}: {answer.words}")
        return answer

    def read(self, rc: int, out: str, err: str, seconds: float) -> Answer:
        if rc == 137:
            return Answer(failed=True, words="killed", seconds=seconds, killed=True)
        try:
            result = json.loads(out.splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise AssertionError(f"the module gave no result (rc {rc}): {out}{err}") from error
        words = " ".join([str(result.get("msg", "")), *map(_words, result.get("warnings", []))])
        changed = bool(result.get("changed", False))
        return Answer(bool(result.get("failed")), words, changed, result.get("job_id"), seconds)


@dataclass
class Plain:
    """plain.sh, run on the host as the job's user."""

    stage: Stage
    job_name: str
    # Whoever runs it knows whether he changed the job, and says so.
    changed: bool = False

    def start(self, call: Call, *, kill_after: float | None = None) -> Running:
        options = [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in job_options(self.stage, call).items()
        ]
        script = f"{FOLDER}/scripts/{call.script}.sh"
        limit = str(call.limits.get("queue_timeout", 600))
        state = "replace" if self.changed and call.state == "submitted" else call.state
        words = [f"{FOLDER}/plain.sh", state, self.job_name, script, limit, *options, "--chdir=/home/vllm"]
        # setpriv stays no process of its own: what is killed is the script.
        account = f"setpriv --reuid={USER} --regid={USER} --init-groups env USER={USER} HOME=/home/vllm"
        command = f"{account} bash -c 'echo $$ > {FOLDER}/pids/$$; exec \"$@\"' plain {shlex.join(words)}"
        return _start(self, call, command, "", kill_after)

    def run(self, call: Call) -> Answer:
        answer = self.start(call).wait()
        self.stage.note(f"  {answer.seconds:.1f} s, failed={answer.failed}: {answer.words}")
        return answer

    def read(self, rc: int, out: str, err: str, seconds: float) -> Answer:
        killed = rc == 137
        return Answer(rc != 0, " ".join((out + err).split()), seconds=seconds, killed=killed)
