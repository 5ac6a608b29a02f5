"""One download, whatever the number of hosts."""

from __future__ import annotations

import json

from .conftest import Cluster

REPO = "llmops-lab/phi3-tiny"


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


def test_nothing_goes_on_serving_the_cache(site: Cluster) -> None:
    assert site.run("gpu1", "systemctl is-active llmops-peer llmops-artifacts || true").split() == ["inactive"] * 2
    assert "8098" not in site.run("gpu1", "ss -Hltn")
