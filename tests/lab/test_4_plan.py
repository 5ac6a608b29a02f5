"""A plan says what the engine then reports, and what it refuses is never submitted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cluster import Cluster

REPO = "llmops-lab/phi3-tiny"
TINY = {"model_id": "llmops-lab/phi3-tiny", "revision": "main"}
CUDA = ["-e", "vllm_jobs_device=cuda", "-e", '{"vllm_jobs_engine_args": []}']
# What the engine's log says of its cache, and the bytes of tensors in a file of weights (less its header).
REPORTED = re.compile(
    r"KV cache size: ([0-9,]+) tokens, Maximum concurrency for ([0-9,]+) tokens per request: ([0-9.]+)x"
)
TENSORS = (
    "import glob, struct; path = glob.glob('/opt/models/models--{}/snapshots/*/model.safetensors')[0]; "
    "file = open(path, 'rb'); header = struct.unpack('<Q', file.read(8))[0]; print(file.seek(0, 2) - 8 - header)"
)


def _override(**keys: object) -> list[str]:
    """The entry phi3 with keys of its own."""
    return ["-e", json.dumps({"vllm_model_overrides": {"phi3": {**TINY, **keys}}})]


def _plans(site: Cluster, folder: Path, *arguments: str) -> dict[str, dict[str, object]]:
    """The plans of a run, by name. It changes nothing but the file on the control machine."""
    output = folder / "plan.json"
    play = site.play("playbooks/plan_models.yml", "-e", f"plan_output={output}", *arguments)
    assert play.rc == 0, play.output[-4000:]
    return {plan["name"]: plan for plan in json.loads(output.read_text())}


def test_tokens_and_requests_are_those_that_vllm_reports(site: Cluster, tmp_path: Path) -> None:
    plan = _plans(site, tmp_path, "-e", "model=phi3")["phi3"]
    text = site.run(
        "ctl", "cat /home/vllm/vllm-jobs/outputs/serve_phi3_*.out /home/vllm/vllm-jobs/outputs/serve_phi3_*.err"
    )
    tokens, length, concurrency = REPORTED.findall(text)[-1]
    cache = plan["cache"]
    assert isinstance(cache, dict)
    assert cache["tokens"] == int(tokens.replace(",", ""))
    assert cache["concurrency"] == float(concurrency)
    assert plan["max_model_len"] == int(length.replace(",", ""))


def test_weights_are_those_in_the_files(site: Cluster, tmp_path: Path) -> None:
    plan = _plans(site, tmp_path, "-e", "model=phi3")["phi3"]
    folder = f"/opt/models/models--{REPO.replace('/', '--')}"
    size = int(site.run("gpu1", f"stat -Lc %s {folder}/snapshots/*/model.safetensors"))
    tensors = int(site.run("gpu1", f'python3 -c "{TENSORS.format(REPO.replace("/", "--"))}"'))
    assert plan["files_bytes"] == size
    assert plan["weights_bytes"] == pytest.approx(tensors, rel=0.01)


def test_gpus_are_those_that_slurm_has(site: Cluster, tmp_path: Path) -> None:
    plan = _plans(site, tmp_path, "-e", "model=phi3", *CUDA)["phi3"]
    assert plan["state"] == "planned"
    assert plan["nodes"] == {"count": 2, "gpus": 2, "partitions": ["gpu"]}
    assert isinstance(plan["gpu"], dict)
    assert plan["gpu"]["type"] == "l4"


def test_a_model_that_is_nowhere_yet_is_read_from_the_hub(site: Cluster, tmp_path: Path) -> None:
    """Asked from the control machine, for GPUs that are not there."""
    gpus = '{"plan_gpus": [{"nodes": 1, "gpus": 1, "type": "t4"}]}'
    plan = _plans(site, tmp_path, "-e", "plan_host=localhost", "-e", "model=mistral", "-e", gpus, *CUDA)["mistral"]
    assert (plan["state"], plan["dtype"]) == ("planned", "float16")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["-e", '{"vllm_jobs_engine_args": ["--kv-cache-memory-bytes", "64M", "--no-such-option"]}'],
            ["phi3: --no-such-option: vLLM", "has no such option"],
            id="option",
        ),
        pytest.param(
            [*CUDA, *_override(gpus=4)],
            ["phi3: gpus: 4 found; allowed is at most 2, for Slurm has 2 nodes with 2 x l4 each in partition gpu"],
            id="gpus",
        ),
        pytest.param(
            [*_override(max_model_len=4096)],
            ["phi3: max_model_len: 4096 found; allowed is at most 2048, what the model's config.json gives"],
            id="length",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_before_submission(
    site: Cluster, arguments: list[str], says: list[str]
) -> None:
    before = site.jobs()
    play = site.play("deploy-vllm-models.yml", "-e", "model=phi3", *arguments)
    assert play.rc != 0
    for words in says:
        assert words in play.words, play.output[-3000:]
    assert site.jobs() == before
