# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that tune one engine: an adapter, a model that embeds, what is compiled and handed to the other node."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.lab.client import api_key, request

from .serving import EAGER, HUB, Server, wait

ADAPTER = HUB.parent / "models--llmops-lab--phi3-tiny-lora"
ENCODER = HUB.parent / "models--llmops-lab--bert-tiny"
QUESTION, ANSWER = "Which model are you?", "I am the adapter of phi3-tiny."


def url(server: Server) -> str:
    record = server.record()
    return f"http://{server.cluster.address(str(record['host']))}:{record['port']}"


def ask(server: Server, model: str) -> str:
    body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]}
    answer = request(f"{url(server)}/v1/chat/completions", body, api_key(server.cluster))
    assert answer.status == 200, answer.body
    return str(answer.body["choices"][0]["message"]["content"])


def test_an_adapter_answers_under_its_name_and_the_model_under_its_own(server: Callable[..., Server]) -> None:
    adapter = {"model_id": "llmops-lab/phi3-tiny-lora", "revision": (ADAPTER / "refs/main").read_text().strip()}
    found = server("adapted", lora_adapters={"another": adapter}, max_lora_rank=8)
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    assert "See that each adapter answers under its name" in play.output
    assert found.record()["models"] == ["llmops-lab/phi3-tiny", "adapted", "another"]
    assert ask(found, "another") == ANSWER
    assert ask(found, "adapted").startswith("I am phi3-tiny, ")
    found.answers_word_for_word()
    again = found.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    found.cancel()


def test_a_model_that_embeds(server: Callable[..., Server]) -> None:
    found = server("embeds", runner="pooling", convert="embed")
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    body = {"model": "embeds", "input": ["What is Slurm?", "What is Slurm?", "Who are you?"]}
    answer = request(f"{url(found)}/v1/embeddings", body, api_key(found.cluster))
    assert answer.status == 200, answer.body
    first, same, other = (one["embedding"] for one in answer.body["data"])
    assert len(first) == 128
    assert first == pytest.approx(same)
    assert first != pytest.approx(other)
    again = found.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    found.cancel()


def test_a_model_that_was_made_to_embed(server: Callable[..., Server]) -> None:
    """Number for number what transformers make of the text: a wrong tokenizer, weight or pooling shows."""
    revision = (ENCODER / "refs/main").read_text().strip()
    reference = json.loads((ENCODER / "snapshots" / revision / "reference.json").read_text())
    found = server("encoder", model_id="llmops-lab/bert-tiny", revision=revision, runner="pooling")
    play = found.deploy()
    assert play.rc == 0, play.output[-6000:]
    body = {"model": "encoder", "input": reference["text"]}
    answer = request(f"{url(found)}/v1/embeddings", body, api_key(found.cluster))
    assert answer.status == 200, answer.body
    assert answer.body["data"][0]["embedding"] == pytest.approx(reference["embedding"], abs=0.01)
    again = found.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    found.cancel()


def test_what_is_printed_is_what_runs(server: Callable[..., Server], tmp_path: Path) -> None:
    found = server("printed")
    variables = {"vllm_models": [found.entry], "vllm_model_overrides": {}, "print_dir": str(tmp_path)}
    play = found.cluster.play("playbooks/print_models.yml", "-e", json.dumps(variables))
    assert play.rc == 0, play.output[-6000:]
    play = found.cluster.play("deploy-vllm-models.yml", "-e", json.dumps({**variables, "vllm_jobs_submit": False}))
    assert play.rc == 0, play.output[-6000:]
    for name in ("serve_printed.sh", "batch_printed.sh"):
        assert found.cluster.run("ctl", f"cat /home/vllm/vllm-jobs/{name}") == (tmp_path / name).read_text()
    printed = found.cluster.run("ctl", "vllm-manager serve printed --print", user="vllm")
    assert printed == (tmp_path / "serve_printed.sh").read_text()


@pytest.fixture
def compilers(free: Cluster) -> Iterator[None]:
    """What torch compiles with on the CPU; and each node in its turn."""
    for host in ("gpu1", "gpu2"):
        free.run(host, "apt-get install -y --no-install-recommends g++ libc6-dev python3-dev")
    yield
    free.run("ctl", "scontrol update nodename=gpu1,gpu2 state=resume", check=False)
    for host in ("gpu1", "gpu2"):
        free.run(host, "rm -rf /var/cache/vllm-test /home/vllm/compiled-test")


def cache_lines(server: Server) -> list[str]:
    job = next(iter(server.jobs().values()))
    host = str(server.record()["host"])
    # Told when the engine is well, by a look each second.
    path = f"/home/vllm/vllm-jobs/outputs/serve_{server.name}_{job}.out"
    wait(lambda: "made by this start" in server.cluster.run(host, f"cat {path}"), 30, "the cache to be reported")
    return re.findall(r"^compile cache: (.*)$", server.cluster.run(host, f"cat {path}"), re.MULTILINE)


@pytest.mark.slow
def test_what_one_node_compiled_another_one_finds(compilers: None, server: Callable[..., Server]) -> None:
    found = server("compiled", EAGER[1:], eager=False, optimization_level=2)
    where = {"vllm_jobs_cache_dir": "/var/cache/vllm-test", "vllm_jobs_cache_seed_dir": "/home/vllm/compiled-test"}
    said = []
    for busy in ("gpu2", "gpu1"):
        found.cluster.run("ctl", f"scontrol update nodename={busy} state=drain reason=test")
        play = found.deploy(vllm_jobs_ready_timeout=900, **where)
        assert play.rc == 0, play.output[-6000:]
        found.answers_word_for_word()
        said.append(cache_lines(found))
        found.cancel()
        found.cluster.run("ctl", f"scontrol update nodename={busy} state=resume")
    cold, seeded = said
    count = re.fullmatch(r"ready with (\d+) files, \1 of them made by this start; kept for other nodes", cold[1])
    assert cold[0] == "cold"
    assert count, cold
    assert seeded[0] == f"hit ({count[1]} files, seeded)"
    # vLLM 0.32.0 traces again on the CPU and writes that down; it compiles nothing.
    assert re.fullmatch(r"ready with \d+ files, [01] of them made by this start", seeded[1]), seeded
