"""A compute host joins a running cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.settings import CHECKOUT
from tests.cluster import Cluster

FORGET = "systemctl disable --quiet --now slurmd; rm -rf /etc/systemd/system/slurmd.service /run/slurm"


@pytest.mark.slow
def test_new_host_joins_a_running_cluster(site: Cluster, tmp_path: Path) -> None:
    busy = {line.split()[-1] for line in site.jobs("%T %N", "--states=R")}
    new = next(host for host in ("gpu2", "gpu1") if host not in busy)
    smaller = tmp_path / "inventory"
    shutil.copytree(site.lab.inventory, smaller)
    lines = (smaller / "hosts.yml").read_text().splitlines()
    (smaller / "hosts.yml").write_text("\n".join(line for line in lines if not line.strip().startswith(f"{new}:")))
    play = site.play("playbooks/deploy_slurm.yml", "-e", f"lab_models={CHECKOUT / 'lab/models/hub'}", inventory=smaller)
    assert play.rc == 0, play.output[-4000:]
    assert new not in site.run("ctl", "sinfo --noheader --Node --format=%N")
    site.run(new, FORGET)
    jobs = site.jobs()

    play = site.play("playbooks/deploy_slurm.yml")
    assert play.rc == 0, play.output[-4000:]
    assert site.run("ctl", "sinfo --noheader --Node --format=%N").split() == ["gpu1", "gpu2"]
    assert site.run("ctl", f"srun --nodelist={new} --ntasks=1 --mem=10 hostname", "vllm").split() == [new]
    assert site.jobs() == jobs
