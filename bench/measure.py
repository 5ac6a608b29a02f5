"""How each figure is measured on a lab that is up."""

from __future__ import annotations

import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from lab import podman
from lab.settings import CHECKOUT, Lab, cache_dir, load

from .figures import Figure, ratio

MODEL, REPO, PORT = "phi3", "llmops-lab/phi3-tiny", 8000
KEY = "/etc/llmops/vllm-api-key"
OUTPUTS = "home/vllm/vllm-jobs/outputs"


@dataclass
class Bench:
    """One lab, and the figures that can be had from it."""

    lab: Lab

    @classmethod
    def of(cls, name: str) -> Bench:
        return cls(load(name, CHECKOUT / "inventory/lab"))

    def on(self, host: str, command: str, user: str = "root") -> str:
        argv = ["runuser", "-u", user, "--", "bash", "-lc", command]
        return podman.exec_in(self.lab.container(host), argv).strip()

    def _durations(self) -> dict[str, float]:
        return dict(json.loads((cache_dir() / "durations.json").read_text()))

    def last_site_seconds(self) -> float:
        return self._durations()["Run ansible-playbook site.yml over SSH"]

    def last_site_changes(self) -> float:
        log = (self.lab.state / "logs/site.log").read_text()
        return float(sum(int(number) for number in re.findall(r"changed=(\d+)", log.split("PLAY RECAP")[-1])))

    def install_share(self) -> Figure:
        """Unpacking Slurm on one more host, beside the build that it saves."""
        build = json.loads(self.on("gpu1", "cat /opt/slurm/current/share/llmops-build.json"))["seconds"]
        begin = time.monotonic()
        self.on("gpu2", "mkdir /tmp/slurm && tar --zstd -C /tmp/slurm -xf /var/cache/llmops/slurm-*.tar.zst")
        took = time.monotonic() - begin
        self.on("gpu2", "rm -rf /tmp/slurm")
        return ratio("Slurm on host 2 / its build", took, build, 0.01)

    def hub_share(self) -> Figure:
        """Bytes that the hub gave for two hosts, beside the bytes of the model."""
        log = [json.loads(line) for line in (self.lab.state / "hub/access.jsonl").read_text().splitlines()]
        given = sum(one["bytes"] for one in log if one["method"] == "GET" and f"/{REPO}/resolve/" in one["path"])
        folder = f"/opt/models/models--{REPO.replace('/', '--')}/snapshots"
        sizes = self.on("gpu2", f"find -L {folder} -type f -printf '%s\\n'").split()
        return ratio("hub bytes / model size, 2 hosts", given, sum(map(int, sizes)), 1.01)

    def memory(self) -> Figure:
        """Memory of every process in the lab's containers, shared pages counted once (PSS)."""
        spaces = set()
        for name in podman.containers(self.lab.container("")):
            pid = podman.run("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
            spaces.add(os.readlink(f"/proc/{pid}/ns/pid"))
        total = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(process / "ns/pid") in spaces:
                    total += int(re.findall(r"^Pss:\s+(\d+)", (process / "smaps_rollup").read_text(), re.M)[0])
            except (OSError, IndexError):
                continue
        return Figure("memory of the lab, one model served", total / 2**20, "GiB", 8)

    def ready_share(self) -> Figure:
        """Job running to vllm_health ready, beside the same engine by hand to its first completion."""
        self.on("ctl", f"scancel --name=vllm-serve-{MODEL}", user="vllm")
        while self.on("ctl", f"squeue -h -n vllm-serve-{MODEL} -o %i"):
            time.sleep(0.2)
        by_hand, by_job = [], []
        for _turn in range(5):
            by_hand.append(self._by_hand())
            by_job.append(self._by_job())
        print(f"by hand {[round(s, 1) for s in by_hand]} s, by job {[round(s, 1) for s in by_job]} s", flush=True)
        return ratio("job running to ready / by hand", statistics.median(by_job), statistics.median(by_hand), 1.05)

    def engine(self) -> tuple[str, str]:
        """The environment and command line of the rendered job script: exactly what the job runs."""
        script = self.on("ctl", f"cat /home/vllm/vllm-jobs/serve_{MODEL}.sh")
        exports = " ".join(re.findall(r"^export ((?!SRUN_)\S+)$", script, re.MULTILINE))
        words = re.search(r"^engine=\(\n(.*?)\n\)", script, re.MULTILINE | re.DOTALL)
        if words is None:
            raise RuntimeError("the job script has no engine=( ... )")
        engine = " ".join(words[1].split())
        # Where it listens a script that leases its port says elsewhere.
        return exports, engine if "--port" in engine else f"{engine} --host 0.0.0.0 --port {PORT}"

    def _by_hand(self) -> float:
        exports, engine = self.engine()
        # The key goes in by the environment: on a command line every user of the host could read it.
        secret = f"VLLM_API_KEY=$(cat {KEY}); export VLLM_API_KEY"
        command = f"{secret}; env {exports} setsid {engine} >/tmp/by-hand.log 2>&1 & echo $!"
        begin = time.monotonic()
        pid = self.on("gpu1", command, user="vllm")
        self.until_completion()
        took = time.monotonic() - begin
        self.on("gpu1", f"kill {shlex.quote(pid)}; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done", user="vllm")
        return took

    def until_completion(self, port: int = PORT) -> None:
        host = next(one for one in self.lab.hosts if one.name == "gpu1")
        key = self.on("ctl", f"cat {KEY}")
        body = json.dumps({"model": MODEL, "prompt": "Slurm", "max_tokens": 1}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        url = f"http://{self.lab.address(host.octet)}:{port}/v1/completions"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
                    answer.read()
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError(f"no completion from {url} within 300 s")

    def _by_job(self) -> float:
        script = f"/home/vllm/vllm-jobs/serve_{MODEL}.sh"
        job = self.on("ctl", f"cd /home/vllm/vllm-jobs && sbatch --parsable --nodelist=gpu1 {script}", user="vllm")
        arguments = f"url=http://gpu1:{PORT} model={MODEL} job_id={job} api_key_file={KEY} timeout=300"
        program = str(Path(sys.executable).parent / "ansible")
        subprocess.run(
            [
                program,
                "ctl",
                "--become",
                "-i",
                str(self.lab.inventory),
                "-m",
                "llmops.cluster.vllm_health",
                "-a",
                arguments,
            ],
            cwd=CHECKOUT,
            env={**os.environ, "LLMOPS_LAB_STATE": str(self.lab.state)},
            check=True,
            capture_output=True,
        )
        ready = time.time()
        # The output file is born when the job's shell starts; Slurm's own times are whole seconds.
        born = float(self.on("gpu1", f"stat -c %.W /{OUTPUTS}/serve_{MODEL}_{job}.out"))
        self.on("ctl", f"scancel {job}", user="vllm")
        while self.on("ctl", f"squeue -h -j {job} -o %i 2>/dev/null || true"):
            time.sleep(0.2)
        return ready - born
