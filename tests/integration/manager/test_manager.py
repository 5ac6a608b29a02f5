"""What people type, against a real Slurm and a real vLLM on the CPU."""

from __future__ import annotations

import json

import pytest

from tests.integration.manager.conftest import SCRIPTS, Desk
from tests.lab.client import QUESTIONS, api_key, base_url


def test_status_says_ready_and_where(desk: Desk) -> None:
    assert desk.ask("serve phi3").rc == 0
    job = next(one for one in desk.ask("--json status").json()["jobs"] if one["model"] == "phi3")
    assert (job["state"], job["kind"], job["job_state"]) == ("ready", "serve", "RUNNING")
    assert job["nodes"] in ("gpu1", "gpu2")


def test_root_and_the_script_at_the_old_place_are_the_same_command(desk: Desk) -> None:
    assert "phi3" in desk.ask("list", user="root").out
    assert "phi3" in desk.run("ctl", f"{SCRIPTS}/vllm-manager.sh list", user="vllm")


def test_the_managers_job_is_the_playbooks(desk: Desk) -> None:
    desk.ask("stop phi3")
    said = desk.ask("serve phi3")
    assert said.rc == 0, said.out
    assert "phi3 is ready at http://" in said.out
    job = desk.jobs("%A", "--name=vllm-serve-phi3")
    play = desk.play("deploy-vllm-models.yml", "-e", "model=phi3")
    assert (play.rc, play.changed) == (0, 0), play.output[-4000:]
    assert desk.jobs("%A", "--name=vllm-serve-phi3") == job
    assert desk.ask("--json serve phi3").json()["jobs"][0]["changed"] is False


def test_a_chat_with_its_figures(desk: Desk) -> None:
    known = QUESTIONS["questions"][0]
    found = desk.ask(f"--json chat phi3 --temperature 0 '{known['question']}'").json()
    assert found["answer"].strip() == known["answer"]
    assert found["tokens"] > 5
    assert found["time_to_first_token"] > 0
    assert found["tokens_per_second"] > 0


def test_a_model_is_checked_step_by_step(desk: Desk) -> None:
    said = desk.ask("test phi3")
    assert said.rc == 0, said.out
    assert "FAIL" not in said.out
    assert "it wants the API key" in said.out


def test_a_failure_is_explained_at_once(desk: Desk, broken: str) -> None:
    said = desk.ask(f"serve {broken}")
    assert said.rc == 1, said.out
    assert "The installed vLLM has no option --disable-log-requests." in said.out
    found = desk.ask(f"--json doctor {broken}").json()["diagnoses"][0]
    assert found["finding"]["id"] == "unknown-option"
    assert "unrecognized arguments: --disable-log-requests" in found["finding"]["evidence"]
    assert "unrecognized arguments" in desk.ask(f"logs {broken}").out


def test_following_a_log_ends_with_the_job(desk: Desk, broken: str) -> None:
    assert desk.ask(f"serve {broken} --no-wait").rc == 0
    said = desk.ask(f"logs -f {broken}")
    assert said.rc == 0
    assert "ended: FAILED (exit code 2)" in said.out


def test_a_dry_run_leaves_the_queue_alone(desk: Desk, broken: str) -> None:
    before = desk.jobs()
    assert "Slurm would accept it" in desk.ask(f"serve {broken} --dry-run").out
    assert "Would cancel" in desk.ask("stop phi3 --dry-run").out
    assert desk.jobs() == before


def test_a_restart_is_another_job_that_answers(desk: Desk) -> None:
    assert desk.ask("serve phi3").rc == 0
    before = desk.jobs("%A", "--name=vllm-serve-phi3")
    said = desk.ask("--json restart phi3")
    assert said.rc == 0, said.out
    after = desk.jobs("%A", "--name=vllm-serve-phi3")
    assert (len(before), len(after)) == (1, 1)
    assert int(after[0]) > int(before[0])
    assert said.json()["jobs"][0]["cancelled_job_ids"] == [int(before[0])]
    assert desk.ask("test phi3").rc == 0


def test_jobs_are_cancelled_by_their_ids_and_only_ours(desk: Desk, broken: str) -> None:
    other = desk.run("ctl", "sbatch --parsable --hold --mem=1M --output=/dev/null --wrap true").strip()
    assert desk.ask(f"serve {broken} --no-wait").rc == 0
    (ours,) = desk.jobs("%A", f"--name=vllm-serve-{broken}")
    assert desk.ask(f"cancel {ours} {other}").rc == 6
    assert desk.jobs("%A", f"--name=vllm-serve-{broken}") == [ours]
    assert f"Cancelled job {ours}" in desk.ask(f"cancel {ours}").out
    assert f"Job {ours} has ended before." in desk.ask(f"cancel {ours}").out
    assert other in desk.jobs("%A")
    desk.run("ctl", f"scancel {other}")


def test_others_see_what_slurm_shows_and_talk_with_a_key_of_their_own(desk: Desk) -> None:
    desk.run("ctl", "id bob >/dev/null 2>&1 || useradd --create-home bob")
    said = desk.ask("serve phi3", user="bob")
    assert said.rc == 6
    assert "As an administrator: sudo -u vllm vllm-manager serve" in said.out
    assert "phi3" in desk.ask("status", user="bob").out
    url, key = base_url(desk, "phi3"), api_key(desk)
    desk.run("ctl", f"umask 077; echo {key} > /home/bob/key; chown bob /home/bob/key")
    assert desk.ask(f"--json chat --base-url {url}/v1 --api-key-file key phi3 Hello", user="bob").json()["tokens"] > 0
    assert desk.ask(f"test --base-url {url} phi3", user="bob").rc == 7


def test_a_name_that_is_none(desk: Desk) -> None:
    said = desk.ask("serve ph3")
    assert said.rc == 4
    assert "Did you mean phi3?" in said.out


@pytest.mark.slow
def test_a_batch(desk: Desk) -> None:
    body = {"model": "phi3", "messages": [{"role": "user", "content": "What is Slurm?"}], "max_tokens": 8}
    lines = [
        json.dumps({"custom_id": str(one), "method": "POST", "url": "/v1/chat/completions", "body": body})
        for one in range(3)
    ]
    desk.write(f"{SCRIPTS}/q.jsonl", "\n".join(lines))
    said = desk.ask(f"batch phi3 {SCRIPTS}/q.jsonl {SCRIPTS}/a.jsonl --wait")
    assert said.rc == 0, said.out
    answers = desk.run("ctl", f"cat {SCRIPTS}/a.jsonl; rm {SCRIPTS}/[qa].jsonl", user="vllm").splitlines()
    assert {json.loads(line)["custom_id"] for line in answers} == {"0", "1", "2"}


@pytest.mark.slow
def test_operators(desk: Desk) -> None:
    desk.run("ctl", "id ann >/dev/null 2>&1 || useradd --create-home ann")
    here = ("--tags", "manager", "-e", "vllm_manager_group=llm")
    assert desk.play("playbooks/deploy_vllm.yml", *here).rc == 0
    desk.run("ctl", "usermod --append --groups llm ann")
    said = desk.ask("status", user="ann")
    assert (said.rc, "ready" in said.out) == (0, True), said.out
    assert desk.run("ctl", "sudo -n -u vllm id", user="ann", check=False).strip() == ""
    assert desk.play("playbooks/deploy_vllm.yml", "--tags", "manager").rc == 0
    assert desk.ask("serve phi3", user="ann").rc == 6
