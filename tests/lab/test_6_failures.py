"""A job that cannot serve: the run says why, with the engine's own last words."""

from __future__ import annotations

import json

import pytest

from tests.cluster import Cluster

BROKEN = {
    "name": "broken",
    "model_id": "llmops-lab/phi3-tiny",
    "revision": "main",
    "port": 8020,
    # More than the model was made for: the engine refuses at its start.
    "max_model_len": 1000000,
}


def test_engine_that_refuses_to_start(site: Cluster) -> None:
    # The plan would have refused it before.
    variables = json.dumps({"vllm_models": [BROKEN], "vllm_model_overrides": {}, "vllm_jobs_plan": False})
    play = site.play("deploy-vllm-models.yml", "-e", variables)
    assert play.rc != 0
    assert "Serving broken failed" in play.words
    assert "1000000" in play.words, play.output[-3000:]
    assert "max_model_len" in play.words
    assert not [job for job in site.jobs() if "vllm-serve-broken" in job], "the failed job holds no GPU"
    assert [job for job in site.jobs() if "vllm-serve-phi3 RUNNING" in job], "the others go on"


@pytest.mark.slow
def test_handlers_that_an_interrupted_run_owed(site: Cluster) -> None:
    """A file written, and no restart after it: the next run makes up for it, and running jobs do not notice."""
    before = site.jobs()
    site.run("ctl", "touch /etc/slurm/slurm.conf /etc/munge/munge.key")
    site.run("gpu2", "echo '# older' >> /run/slurm/conf/gres.conf; touch /etc/munge/munge.key")
    since = "systemctl show -p ExecMainStartTimestamp munge"
    before_run = {host: site.run(host, since) for host in ("ctl", "gpu1", "gpu2")}
    play = site.play("playbooks/deploy_slurm.yml")
    assert play.rc == 0, play.output[-4000:]
    untouched = [host for host, then in before_run.items() if site.run(host, since) == then]
    assert untouched == ["gpu1"]
    assert "Restart slurmctld" in play.output
    assert "older" not in site.run("gpu2", "cat /run/slurm/conf/gres.conf")
    assert site.jobs() == before
    again = site.play("playbooks/deploy_slurm.yml")
    assert (again.rc, again.changed) == (0, 0), again.output[-4000:]
