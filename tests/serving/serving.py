# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of serving do with a lab: deploy an entry, ask it, look for what is left of it."""

from __future__ import annotations

import json
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import Cluster, Play
from tests.lab.client import QUESTIONS, Answer, api_key, request

HUB = Path(__file__).parents[2] / "lab/models/hub/models--llmops-lab--phi3-tiny"
MODEL: dict[str, t.Any] = {
    "model_id": "llmops-lab/phi3-tiny",
    "revision": (HUB / "refs/main").read_text().strip(),
    "max_model_len": 256,
}
# Processes of an engine's own, which the lab's fast way up does without.
TRACED_ENVIRONMENT = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
# Tensor parallel compiles one small function even when eager, and the hosts have no compiler.
ENVIRONMENT = {**TRACED_ENVIRONMENT, "TORCHDYNAMO_DISABLE": "1"}
EAGER = ["--enforce-eager", "--kv-cache-memory-bytes", "64M"]
# On the CPU a pipeline answers every request with an error when eager.
TRACED = ["--compilation-config", '{"mode":"DYNAMO_TRACE_ONCE","backend":"eager"}', "--kv-cache-memory-bytes", "64M"]


@dataclass(frozen=True)
class Server:
    """An entry of the catalogue as a lab serves it."""

    cluster: Cluster
    entry: dict[str, t.Any]
    engine_args: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    def deploy(self, **variables: t.Any) -> Play:
        wanted = {
            "vllm_models": [self.entry],
            "vllm_model_overrides": {},
            "vllm_jobs_engine_env": ENVIRONMENT if "--enforce-eager" in self.engine_args else TRACED_ENVIRONMENT,
            "vllm_jobs_engine_args": list(self.engine_args),
            "vllm_jobs_ready_timeout": 420,
            **variables,
        }
        return self.cluster.play("deploy-vllm-models.yml", "-e", json.dumps(wanted))

    def jobs(self) -> dict[str, int]:
        """The running jobs of this entry by their names."""
        found = self.cluster.jobs("%j %i", "--states=RUNNING")
        mine = f"vllm-serve-{self.name}"
        return {job.split()[0]: int(job.split()[1]) for job in found if job.split()[0].split("+")[0] == mine}

    def record(self, job: int | None = None) -> dict[str, t.Any]:
        number = job or next(iter(self.jobs().values()))
        text = self.cluster.run("ctl", f"cat /home/vllm/vllm-jobs/endpoints/{number}.json")
        return dict(json.loads(text))

    def ask(self, question: dict[str, str], host: str | None = None, port: int | None = None) -> Answer:
        if host is None:
            record = self.record()
            host, port = str(record["host"]), int(record["port"])
        url = f"http://{self.cluster.address(host)}:{port}/v1/chat/completions"
        body = {
            "model": self.name,
            "temperature": 0,
            "messages": [{"role": "user", "content": question["question"]}],
        }
        return request(url, body, api_key(self.cluster))

    def answers_word_for_word(self) -> None:
        """A model cut wrongly still answers, but not this."""
        for known in QUESTIONS["questions"][:3]:
            answer = self.ask(known)
            assert answer.status == 200, answer.body
            assert answer.body["choices"][0]["message"]["content"] == known["answer"]

    def processes(self) -> list[str]:
        """What runs of engines on the compute hosts, as the user of the jobs."""
        look = "ps -u vllm -o pid=,ppid=,args= | grep -iE 'vllm|ray|llmops_node' | grep -v 'ps -u' || true"
        found = [(host, self.cluster.run(host, look)) for host in ("gpu1", "gpu2")]
        return [f"{host}: {line.strip()}" for host, text in found for line in text.splitlines()]

    def nothing_is_left(self) -> None:
        """No process, no record, no lease of a port."""
        wait(lambda: not self.jobs(), 60, "the job to end")
        wait(lambda: not self.processes(), 30, "the processes to end", lambda: "\n".join(self.processes()))
        # The job's script takes its record away when its step has ended.
        wait(lambda: not self.cluster.run("ctl", "ls /home/vllm/vllm-jobs/endpoints").split(), 10, "the record to go")
        for host in ("gpu1", "gpu2"):
            assert "llmops-port" not in self.cluster.run(host, "ss -xl")
            assert "ray-" not in self.cluster.run(host, "ls /tmp")

    def cancel(self) -> None:
        self.cluster.run("ctl", f"scancel --name={','.join(self.jobs()) or 'none'}", user="vllm")
        self.nothing_is_left()


def wait(true: Callable[[], object], seconds: float, what: str, evidence: Callable[[], str] = str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}\n{evidence()}"
        time.sleep(0.5)
