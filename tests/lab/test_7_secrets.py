"""The API key and the munge key are where they belong, and nowhere else."""

from __future__ import annotations

import base64

import pytest

from tests.cluster import Cluster, Play

from .client import api_key


@pytest.mark.parametrize("host", ["ctl", "gpu1", "gpu2"])
def test_key_files_have_their_owner_and_mode(site: Cluster, host: str) -> None:
    look = "stat -c '%U %a' /etc/llmops/vllm-api-key /etc/munge/munge.key"
    assert site.run(host, look).splitlines() == ["vllm 400", "munge 400"]


def test_key_is_in_no_command_line_script_log_or_job_record(site: Cluster) -> None:
    key = api_key(site)
    # By the file: a key on grep's own command line would end up in the journal.
    search = "grep -rlF -f /etc/llmops/vllm-api-key"
    job = site.run("ctl", "squeue -h -n vllm-serve-phi3 -o %i").strip()
    places = {
        "command lines on gpu1": site.run("gpu1", "ps axww -o args"),
        "command lines on gpu2": site.run("gpu2", "ps axww -o args"),
        "the job's record": site.run("ctl", f"scontrol show job {job}"),
        "the job's script in Slurm": site.run("ctl", f"scontrol write batch_script {job} -"),
        "jobs folder": site.run("ctl", f"{search} /home/vllm || true"),
        "Slurm's state and logs": site.run("ctl", f"{search} /var/spool/slurmctld /var/log || true"),
        "logs on gpu1": site.run("gpu1", f"{search} /var/log /var/spool/slurmd || true"),
    }
    assert places["command lines on gpu1"] or places["command lines on gpu2"]
    assert not [place for place, text in places.items() if key in text]
    assert not places["jobs folder"] + places["Slurm's state and logs"] + places["logs on gpu1"]


def test_verbose_run_prints_no_key(site: Cluster) -> None:
    munge = site.run("ctl", "base64 -w0 /etc/munge/munge.key")
    play: Play = site.play("site.yml", "-vvv", "--diff")
    assert play.rc == 0, play.output[-3000:]
    key = api_key(site)
    for secret in (key, base64.b64encode((key + "\n").encode()).decode().rstrip("=\n")[:40], munge[:40]):
        assert secret not in play.output
