"""A job that cannot serve: the run says why, with the engine's own last words."""

from __future__ import annotations

import json

from .conftest import Cluster

BROKEN = {
    "name": "broken",
    "model_id": "llmops-lab/phi3-tiny",
    "revision": "main",
    "port": 8020,
    # More than the model was made for: the engine refuses at its start.
    "max_model_len": 1000000,
}


def test_engine_that_refuses_to_start(site: Cluster) -> None:
    variables = json.dumps({"vllm_models": [BROKEN], "vllm_model_overrides": {}})
    play = site.play("deploy-vllm-models.yml", "-e", variables)
    assert play.rc != 0
    assert "Serving broken failed" in play.words
    assert "1000000" in play.words, play.output[-3000:]
    assert "max_model_len" in play.words
    assert not [job for job in site.jobs() if "vllm-serve-broken" in job], "the failed job holds no GPU"
    assert [job for job in site.jobs() if "vllm-serve-phi3 RUNNING" in job], "the others go on"
