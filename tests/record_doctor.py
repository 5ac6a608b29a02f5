"""Records how jobs fail, for tests/unit/fixtures/doctor/real: real jobs of a real engine, each with one fault made.

    python -m tests.record_doctor FOLDER [ID...] --lab NAME

The lab is up and serves phi3 (site.yml). Each recording is what doctor gets: ID.log what the job wrote, ID.end and
ID.reason what Slurm said of it, ID.refusal what sbatch answered.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import parse, states

from lab.settings import CHECKOUT, load
from tests.cluster import Cluster

SCRIPTS = "/home/vllm/vllm-jobs"
CACHE = "/home/vllm/record-models"
MODEL = "llmops-lab/phi3-tiny"
LONGEST = 80
# Whatever is of this machine and this minute, and of no use to a test.
_NOISE = re.compile(r" *\d+ (?:\S+/)?(?:snapshots|[0-9a-f]{40})|Route: /|^\s*$|█|non-default args")


_ERROR = re.compile(r"\w(?:Error|Exception): |\berror: ")


@dataclass(frozen=True)
class Fault:
    """`edit`: of the job script, by sed. `options`: of sbatch. `act`: what is done to the job when its log says `at`.

    `says`: whether its log or its end is recorded. `also`: the cause that its end alone leads to.
    """

    id: str
    edit: str = ""
    options: str = ""
    prepare: str = ""
    act: str = ""
    multi: bool = False
    says: str = "log"
    also: str = ""
    at: str = "startup complete"


def _flag(words: str) -> str:
    return f"s|--enforce-eager|--enforce-eager {words}|"


def _other_model(change: str) -> str:
    """A cache of its own with one thing changed in it. Copied, so that no link leads back."""
    return (
        f"rm -rf {CACHE} && mkdir {CACHE} && cp -rL /opt/models/models--llmops-lab--phi3-tiny {CACHE}/ && "
        f"cd {CACHE}/*/snapshots/* && chmod -R u+w {CACHE} && {change}"
    )


TWO = "s|--tensor-parallel-size 1|--tensor-parallel-size 2|"
OTHER = f"s|/opt/models|{CACHE}|g"
CONFIG = "python3 -c \"import json; c = json.load(open('config.json')); {}; json.dump(c, open('config.json', 'w'))\""

ENGINE = (
    Fault("unknown-option", _flag("--disable-log-requests")),
    Fault("bad-option-value", _flag("--dtype float7")),
    Fault("length-above-model", "s|--max-model-len [0-9]*|--max-model-len 99999|"),
    Fault("heads-not-divisible", "s|--tensor-parallel-size 1|--tensor-parallel-size 3|"),
    Fault("cache-too-small", "s|64M|200K|"),
    Fault("no-room-for-cache", "s|64M|64K|"),
    Fault("cpu-memory-too-small", "s|64M|900G|"),
    Fault("model-not-downloaded", "s|^model_dir=.*|model_dir=/opt/models/models--llmops-lab--none|"),
    Fault("snapshot-incomplete", f"s|vllm serve {MODEL}|vllm serve llmops-lab/none|"),
    Fault("key-file-missing", "s|^api_key_file=.*|api_key_file=/etc/llmops/none|"),
    Fault("engine-not-installed", "s|/opt/vllm/venv/bin/vllm serve|/opt/vllm/none/bin/vllm serve|"),
    Fault("python-module-missing", _flag("--distributed-executor-backend ray --tensor-parallel-size 2")),
    Fault("weights-broken", OTHER, prepare=_other_model("truncate -s 70000 model.safetensors")),
    Fault("weights-missing", OTHER, prepare=_other_model("rm model.safetensors")),
    Fault(
        "architecture-unknown", OTHER, prepare=_other_model(CONFIG.format("c['architectures'] = ['NoSuchForCausalLM']"))
    ),
    Fault("transformers-too-old", OTHER, prepare=_other_model(CONFIG.format("c['model_type'] = 'nosuch'"))),
    Fault("file-forbidden", OTHER, prepare=_other_model("chmod 000 config.json")),
    Fault("port-in-use", "s|--port [0-9]*|--port 6818|"),
    Fault("host-out-of-memory", "s|^set -euo pipefail|set -euo pipefail; ulimit -v 1000000|"),
    Fault("no-compiler", "s|--enforce-eager||"),
    Fault("hub-unreachable", f"s|HF_HUB_OFFLINE=1|HF_HUB_OFFLINE=0|; s|vllm serve {MODEL}|vllm serve llmops-lab/none|"),
    Fault(
        "no-interface--gloo",
        TWO + "; s|^export VLLM_NO|export GLOO_SOCKET_IFNAME=ib9 VLLM_NO|",
    ),
    Fault(
        "rendezvous-failed",
        _flag("--nnodes 2 --node-rank 1 --headless --master-addr 127.0.0.1 --master-port 29999")
        + "; s|--enforce-eager|--enforce-eager --distributed-timeout-seconds 5|; "
        + TWO,
    ),
    Fault("engine-core-died", act="kill -KILL $(pgrep -f '^VLLM::EngineCore')", multi=True),
    Fault(
        "killed", act="kill -KILL $(pgrep -f '^/opt/vllm/[^ ]*python[^ ]* /opt/vllm/venv/bin/vllm serve')", says="end"
    ),
    Fault("cancelled", act="scancel {job}", says="end"),
    Fault("log-time-limit", options="--time=1", also="time-limit"),
    Fault(
        "log-node-failed",
        also="node-failed",
        options="--no-requeue --nodelist=gpu2",
        act="scontrol update nodename={node} state=down reason=record",
    ),
    Fault("output-folder-missing", options="--output=/none/%j.out --error=/none/%j.err", says="end"),
    Fault(
        "step-not-started",
        "s|srun --ntasks=1|srun --ntasks=1 --cpus-per-task=64|",
        act="scancel {job}",
        at="may never run",
    ),
)
# Jobs that wait: options of sbatch, and what Slurm shall say of them.
WAITING = {
    "gpus-busy": "--gres=gpu:2 --nodes=2",
    "held": "--hold",
    "begins-later": "--begin=now+1hour",
    "dependency": "--dependency=afterok:{job}",
    "nodes-down": "--nodelist=gpu2 --gres=none",
}
REFUSED = {
    "gres-unknown": "--gres=tpu:1",
    "no-such-node": "--gres=gpu:8",
    "no-such-partition": "--partition=none",
    "time-unreadable": "--time=INVALID",
}


class Recorder:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder

    def vllm(self, command: str, check: bool = True) -> str:
        return self.cluster.run("ctl", command, user="vllm", check=check)

    def submit(self, fault: Fault) -> str:
        script = f"{SCRIPTS}/record.sh"
        if fault.prepare:
            # The hosts share this folder.
            self.cluster.run("gpu1", f"{fault.prepare} && chown -R vllm {CACHE}")
        edits = [
            "s|--port 8000|--port 8199|",
            fault.edit,
            "s|MULTIPROCESSING=0|MULTIPROCESSING=1|" if fault.multi else "",
        ]
        edit = " ".join(f"-e {shlex.quote(one)}" for one in edits if one)
        self.vllm(f"sed {edit} {SCRIPTS}/serve_phi3.sh > {script}")
        if fault.id == "file-forbidden":
            self.cluster.run("gpu1", f"chown root {CACHE}/*/snapshots/*/config.json")
        # No GPU is needed to fail: the ones that there are may be in use.
        return self.vllm(
            f"cd {SCRIPTS} && sbatch --parsable --job-name=record --gres=none {fault.options} {script}"
        ).strip()

    def facts(self, job: str) -> parse.Job:
        return parse.jobs_from_json(self.vllm(f"squeue --json --states=all --jobs={job}"))[0]

    def until(self, done: Callable[[], bool], seconds: float = 180) -> bool:
        ends = time.monotonic() + seconds
        while not done():
            if time.monotonic() > ends:
                return False
            time.sleep(1)
        return True

    def fault(self, fault: Fault) -> None:
        job = self.submit(fault)
        if fault.act:
            log = f"{SCRIPTS}/outputs/serve_phi3_{job}"
            self.until(lambda: fault.at in self.vllm(f"cat {log}.*", check=False))
            node = self.facts(job).batch_host
            command = fault.act.format(job=job, node=node)
            self.cluster.run("ctl" if command.startswith("sc") else node, command)
        if not self.until(lambda: not self.facts(job).live):
            self.vllm(f"scancel {job}")
            print(f"{fault.id}: did not fail", flush=True)
            return
        found = self.facts(job)
        end = states.ending_in_words(found.state, found.exit_code, found.signal)
        if fault.also:
            self.keep(f"{fault.also}.end", end)
        if fault.says == "end":
            self.keep(f"{fault.id}.end", end)
            return
        outputs = f"{SCRIPTS}/outputs/serve_phi3_{job}"
        text = self.vllm(f"cat {outputs}.out {outputs}.err", check=False)
        self.keep(f"{fault.id}.log", tidy(text))

    def waiting(self, name: str, options: str) -> None:
        running = self.cluster.jobs("%A", "--name=vllm-serve-phi3")[0]
        if name == "nodes-down":
            self.cluster.run("ctl", "scontrol update nodename=gpu2 state=drain reason=record")
        command = f"sbatch --parsable --job-name=record {options.format(job=running)} --wrap 'sleep 5'"
        job = self.vllm(f"cd {SCRIPTS} && {command} --output=/dev/null").strip()
        self.until(lambda: self.facts(job).reason not in ("", "None"), 30)
        time.sleep(3)
        self.keep(f"{name}.reason", self.facts(job).reason)
        self.vllm(f"scancel {job}")
        self.cluster.run("ctl", "scontrol update nodename=gpu2 state=resume", check=False)

    def refused(self, name: str, options: str) -> None:
        said = self.vllm(f"sbatch --job-name=record {options} --wrap true 2>&1", check=False)
        self.keep(f"{name}.refusal", said.strip())

    def keep(self, name: str, text: str) -> None:
        if text.strip():
            # Some programs end lines as a terminal wants them.
            (self.folder / name).write_text(text.replace("\r\n", "\n").rstrip() + "\n")
            last = text.strip().splitlines()[-1]
            print(f"{name}: {last[:150]}", flush=True)


def tidy(text: str) -> str:
    """The part that matters: no lists of files and routes, and not more lines than one would read."""
    lines = [line.rsplit("\r", 1)[-1] for line in text.splitlines() if not _NOISE.search(line)]
    if len(lines) > LONGEST:
        first, middle, last = lines[: LONGEST // 4], lines[LONGEST // 4 : -LONGEST // 2], lines[-LONGEST // 2 :]
        lines = [*first, "...", *[line for line in middle if _ERROR.search(line)], "...", *last]
    return "\n".join(lines)


def main(arguments: Iterable[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lab", required=True)
    parser.add_argument("ids", nargs="*")
    args = parser.parse_args(list(arguments))
    args.folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(Cluster(load(args.lab, CHECKOUT / "inventory/lab")), args.folder)
    wanted = set(args.ids)
    for name, options in REFUSED.items():
        if not wanted or name in wanted:
            recorder.refused(name, options)
    for name, options in WAITING.items():
        if not wanted or name in wanted:
            recorder.waiting(name, options)
    for fault in ENGINE:
        if not wanted or fault.id in wanted:
            recorder.fault(fault)
            recorder.cluster.run("ctl", "scontrol update nodename=gpu1,gpu2 state=resume", check=False)


if __name__ == "__main__":
    main(sys.argv[1:])
