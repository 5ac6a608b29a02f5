"""One download, whatever the number of hosts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.cluster import Cluster

REPO, OTHER = "llmops-lab/phi3-tiny", "llmops-lab/mistral-tiny"


def _log(site: Cluster) -> list[dict[str, object]]:
    return [json.loads(line) for line in (site.lab.state / "hub/access.jsonl").read_text().splitlines()]


def test_hub_gave_each_byte_once(site: Cluster) -> None:
    folder = f"/opt/models/models--{REPO.replace('/', '--')}"
    size = int(site.run("gpu1", f"du -Lsb --apparent-size {folder}/snapshots/*/ | cut -f1"))
    files = int(site.run("gpu1", f"find -L {folder}/snapshots -type f -printf '%s\\n' | paste -sd+ | bc || true") or 0)
    given = sum(
        int(str(one["bytes"]))
        for one in _log(site)
        if f"/{REPO}/resolve/" in str(one["path"]) and one["method"] == "GET"
    )
    assert 0 < given <= 1.01 * (files or size), (given, files, size)


def test_every_compute_host_has_the_same_files(site: Cluster) -> None:
    command = (
        f"cd /opt/models/models--{REPO.replace('/', '--')}/snapshots && find -L . -type f -exec sha256sum {{}} + | sort"
    )
    assert site.run("gpu1", command) == site.run("gpu2", command) != ""


def test_two_runs_at_once_share_the_fan_out(site: Cluster) -> None:
    """Neither takes the server, nor its token, from under the other's download."""
    site.run("gpu2", f"rm -rf /opt/models/models--{OTHER.replace('/', '--')}")
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(site.play, "deploy-vllm-models.yml", "-e", "model=mistral") for _ in range(2)]
    for run in runs:
        assert run.result().rc == 0, run.result().output[-4000:]
    assert site.run("gpu2", f"ls /opt/models/models--{OTHER.replace('/', '--')}/snapshots").split()
    assert site.run("ctl", "squeue -h -o %j").split().count("vllm-serve-mistral") == 1


def test_the_cache_is_closed_without_the_token(site: Cluster) -> None:
    """The fan-out's server ends ten minutes after its last request; until then it answers nobody else."""
    status = f"curl -s -o /dev/null -w '%{{http_code}}' http://gpu1:8098/api/models/{REPO}"
    assert site.run("gpu2", status, check=False) == "401"
    assert site.run("gpu1", "systemctl is-active llmops-artifacts || true").split() == ["inactive"]
    assert site.run("gpu1", "stat -c '%U %a' /run/llmops-peer.token").split() == ["root", "600"]
