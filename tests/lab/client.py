"""Requests to a served model, on the wire: what an OpenAI client would send, without one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Cluster

QUESTIONS = yaml.safe_load((Path(__file__).parents[2] / "lab/models/questions.yml").read_text())


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]


def request(url: str, body: dict[str, Any] | None = None, key: str | None = None) -> Answer:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return Answer(answer.status, json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.loads(error.read() or b"{}"))


def api_key(cluster: Cluster) -> str:
    return cluster.run("ctl", "cat /etc/llmops/vllm-api-key").strip()


def base_url(cluster: Cluster, name: str) -> str:
    """Where a model answers: the job's node from Slurm, the port from the record that the job wrote."""
    job, node = cluster.run("ctl", f"squeue -h -n vllm-serve-{name} -t RUNNING -o '%i %N'").split()
    record = json.loads(cluster.run("ctl", f"cat /home/vllm/vllm-jobs/endpoints/{job}.json"))
    assert record["host"] == node
    return f"http://{cluster.address(node)}:{record['port']}"
