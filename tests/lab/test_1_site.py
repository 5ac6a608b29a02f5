"""site.yml from nothing, and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import Cluster, Play


def test_check_mode_on_hosts_with_nothing_on_them(cluster: Cluster) -> None:
    if "yes" in cluster.run("ctl", "test -e /opt/slurm && echo yes", check=False):
        pytest.skip("a lab that is used as it stands has Slurm")
    foreseen = cluster.play("site.yml", "--check")
    assert foreseen.rc == 0, foreseen.output[-6000:]
    assert cluster.run("gpu1", "ls -d /opt/slurm /opt/vllm /opt/models 2>/dev/null || echo none") == "none\n"


def test_first_run_succeeds(first_run: Play, cluster: Cluster) -> None:
    assert first_run.rc == 0, first_run.output[-6000:]


def test_second_run_changes_nothing(site: Cluster) -> None:
    before = site.jobs()
    again = site.play("site.yml")
    assert again.rc == 0, again.output[-6000:]
    assert again.changed == 0, again.output
    assert site.jobs() == before


def test_check_mode_foresees_no_change(site: Cluster) -> None:
    foreseen = site.play("site.yml", "--check", "--diff")
    assert foreseen.rc == 0, foreseen.output[-6000:]
    assert foreseen.changed == 0, foreseen.output


def test_hosts_that_cannot_be_confined_are_named(first_run: Play) -> None:
    hybrid = any(not line.startswith("0::") for line in Path("/proc/self/cgroup").read_text().splitlines())
    assert ("NOT confined to their cores, memory and GPUs" in first_run.words) == hybrid


def test_slurm_was_compiled_on_one_host_only(site: Cluster) -> None:
    for host in ("ctl", "gpu2"):
        assert site.run(host, "command -v gcc || echo none").strip() == "none"
    builds = {host: site.run(host, "readlink /opt/slurm/current").strip() for host in ("ctl", "gpu1", "gpu2")}
    assert len(set(builds.values())) == 1, builds
