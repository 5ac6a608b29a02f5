# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API on each node. Only mixtures of experts may be balanced from outside: a made-up one without weights is served.

Its platform is a test's own: the CPU engine as shipped cannot join the experts of two copies.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest

from tests.cluster import Cluster
from tests.lab.client import api_key, request

from .serving import EAGER, Server

pytestmark = pytest.mark.slow

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "moe_intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 512,
    "decoder_sparse_step": 1,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
FOLDER = "/home/vllm/test-experts"


@pytest.fixture(scope="module")
def experts(free: Cluster) -> list[str]:
    """Words that make a mixture of experts of the model that is there."""
    text = shlex.quote(json.dumps(CONFIG))
    free.run("ctl", f"mkdir -p {FOLDER} && printf %s {text} > {FOLDER}/config.json", user="vllm")
    return [*EAGER, "--hf-config-path", FOLDER, "--load-format", "dummy"]


@pytest.mark.parametrize("balancing", ["hybrid", "external"])
def test_both_nodes_answer(experts: list[str], plugin: str, server: Callable[..., Server], balancing: str) -> None:
    found = server(
        f"experts-{balancing}",
        experts,
        nodes=2,
        data_parallel_size=2,
        backend="rpc",
        data_parallel_balancing=balancing,
        env={"PYTHONPATH": plugin},
    )
    # The plan would read the model that is there.
    play = found.deploy(vllm_jobs_plan=False)
    assert play.rc == 0, play.output[-6000:]
    servers = found.record()["servers"]
    assert [one["host"] for one in servers] == ["gpu1", "gpu2"]
    for one in servers:
        body = {"model": found.name, "prompt": "What is Slurm?", "max_tokens": 4, "ignore_eos": True}
        answer = request(f"http://{one['address']}:{one['port']}/v1/completions", body, api_key(found.cluster))
        assert answer.status == 200, answer.body
        assert answer.body["usage"]["completion_tokens"] == 4
    again = found.deploy(vllm_jobs_plan=False)
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    found.cancel()
