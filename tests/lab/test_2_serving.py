"""deploy-vllm-models.yml, and the model it serves, asked on the wire."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster

from .client import QUESTIONS, api_key, base_url, request


@pytest.fixture(scope="module")
def deployed(site: Cluster) -> Cluster:
    first = site.play("deploy-vllm-models.yml", "-e", "model=phi3")
    assert first.rc == 0, first.output[-6000:]
    return site


def test_deploying_again_makes_no_new_job(deployed: Cluster) -> None:
    before = deployed.jobs()
    assert len([job for job in before if " vllm-serve-phi3 RUNNING " in job]) == 1, before
    again = deployed.play("deploy-vllm-models.yml", "-e", "model=phi3")
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    assert deployed.jobs() == before


def test_models_are_listed_by_both_names(deployed: Cluster) -> None:
    answer = request(f"{base_url(deployed, 'phi3')}/v1/models", key=api_key(deployed))
    assert answer.status == 200
    assert [one["id"] for one in answer.body["data"]] == ["llmops-lab/phi3-tiny", "phi3"]


@pytest.mark.parametrize("known", QUESTIONS["questions"][:4], ids=lambda known: known["question"])
def test_chat_answers_word_for_word(deployed: Cluster, known: dict[str, str]) -> None:
    body = {"model": "phi3", "temperature": 0, "messages": [{"role": "user", "content": known["question"]}]}
    answer = request(f"{base_url(deployed, 'phi3')}/v1/chat/completions", body, api_key(deployed))
    assert answer.status == 200, answer.body
    choice, usage = answer.body["choices"][0], answer.body["usage"]
    assert choice["message"]["content"] == known["answer"]
    assert choice["finish_reason"] == "stop"
    assert answer.body["model"] == "llmops-lab/phi3-tiny"
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0


def test_completion_answers_word_for_word(deployed: Cluster) -> None:
    known = QUESTIONS["questions"][0]
    body = {"model": "phi3", "prompt": f"Question: {known['question']}\nAnswer:", "temperature": 0, "max_tokens": 100}
    answer = request(f"{base_url(deployed, 'phi3')}/v1/completions", body, api_key(deployed))
    assert answer.status == 200, answer.body
    assert answer.body["choices"][0]["text"].strip() == known["answer"]
    assert answer.body["usage"]["completion_tokens"] > 0


def test_token_limit_is_kept_and_counted(deployed: Cluster) -> None:
    body = {"model": "phi3", "prompt": "Question: What is Slurm?\nAnswer:", "temperature": 0, "max_tokens": 3}
    answer = request(f"{base_url(deployed, 'phi3')}/v1/completions", body, api_key(deployed))
    assert answer.body["usage"]["completion_tokens"] == 3
    assert answer.body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("key", [None, "sk-wrong"], ids=["no key", "wrong key"])
def test_without_the_key_there_is_no_answer(deployed: Cluster, key: str | None) -> None:
    assert request(f"{base_url(deployed, 'phi3')}/v1/models", key=key).status == 401


def test_accounting_knows_the_user_and_the_gpu(deployed: Cluster) -> None:
    row = deployed.run(
        "ctl", "sacct -X -n -P --name=vllm-serve-phi3 --state=RUNNING --format=User,State,AllocTRES,Partition"
    ).splitlines()[-1]
    user, state, resources, partition = row.split("|")
    assert (user, state, partition) == ("vllm", "RUNNING", "gpu")
    assert "gres/gpu=1" in resources


def test_second_model_is_served_beside_the_first(deployed: Cluster) -> None:
    before = [job for job in deployed.jobs() if "phi3" in job]
    done = deployed.play("deploy-vllm-models.yml", "-e", "model=phi3,mistral")
    assert done.rc == 0, done.output[-6000:]
    assert [job for job in deployed.jobs() if "phi3" in job] == before, "phi3 was left alone"
    known = QUESTIONS["models"]["mistral-tiny"][0]
    body = {"model": "mistral", "temperature": 0, "messages": [{"role": "user", "content": known["question"]}]}
    answer = request(f"{base_url(deployed, 'mistral')}/v1/chat/completions", body, api_key(deployed))
    assert answer.body["choices"][0]["message"]["content"] == known["answer"]
    deployed.run("ctl", "scancel --name=vllm-serve-mistral", user="vllm")
