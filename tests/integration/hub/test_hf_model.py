"""The cycle of hf_model and what a cluster does to it: jobs that use a model, hosts that share a cache, no Slurm."""

from __future__ import annotations

import pytest

from lab.hub import GATED
from tests.integration.hub.conftest import OWN, REPO, SHARED, Models

FOLDER = "models--" + REPO.replace("/", "--")
GATED_REPO, GATED_TOKEN = next((repo, entry["token"]) for repo, entry in GATED.items())


def test_create_change_delete_each_in_check_mode_first_and_each_twice(models: Models) -> None:
    before = models.given_by_hub()
    planned = models.model("gpu2", check=True, allow_patterns=["*.json"])
    assert models.run("gpu2", f"ls {OWN} 2>/dev/null || echo none") == "none\n"
    created = models.model("gpu2", allow_patterns=["*.json"])
    assert (planned["changed"], created["changed"]) == (True, True)
    assert (planned["commit"], planned["files"]) == (created["commit"], created["files"])
    assert planned["bytes_to_download"] == created["bytes_downloaded"] == created["total_bytes"]
    for check in (True, False):
        assert models.model("gpu2", check, allow_patterns=["*.json"])["changed"] is False

    planned = models.model("gpu2", check=True)
    changed = models.model("gpu2")
    assert (planned["changed"], changed["changed"]) == (True, True)
    assert planned["bytes_to_download"] == changed["bytes_downloaded"] > 0
    assert changed["bytes_downloaded"] + created["bytes_downloaded"] == changed["total_bytes"]
    for check in (True, False):
        assert models.model("gpu2", check)["changed"] is False
    found = dict(line.split(" ") for line in models.files("gpu2", changed["path"]))
    assert sorted(found) == changed["files"]
    assert sum(map(int, found.values())) == changed["total_bytes"]
    # Check mode asked for one byte, twice.
    assert models.given_by_hub() - before == changed["total_bytes"] + 2

    assert models.model("gpu2", check=True, state="absent")["changed"] is True
    assert dict(line.split(" ") for line in models.files("gpu2", changed["path"])) == found
    assert models.model("gpu2", state="absent")["changed"] is True
    for check in (True, False):
        assert models.model("gpu2", check, state="absent")["changed"] is False
    assert models.run("gpu2", f"find {OWN} -name '*tiny*' ! -path '*/.locks/*'") == ""


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        pytest.param("vllm serve {repo} --revision {commit}", "", id="in-the-script"),
        pytest.param("vllm serve {cache}/{folder}/snapshots/*", "", id="by-its-path"),
        pytest.param('vllm serve "$1"', "{repo}", id="in-the-submission"),
    ],
)
def test_a_model_that_a_job_in_the_queue_uses_is_kept(models: Models, script: str, arguments: str) -> None:
    commit = models.model("gpu2")["commit"]
    words = {"repo": REPO, "commit": commit, "cache": OWN, "folder": FOLDER}
    job = models.submit(script.format(**words), arguments.format(**words))
    try:
        for check in (True, False):
            refused = models.model("gpu2", check, state="absent", revision=commit)
            assert refused["error_kind"] == "in_use"
            assert f"job {job} (test-models.sh of vllm, PENDING)" in refused["msg"]
        assert models.files("gpu2", f"{OWN}/{FOLDER}/snapshots/{commit}")
    finally:
        models.run("ctl", f"scancel {job}")
    assert models.model("gpu2", state="absent", revision=commit)["changed"] is True


def test_a_controller_that_is_away_is_not_taken_for_an_empty_queue(models: Models) -> None:
    path = models.model("gpu2")["path"]
    models.run("ctl", "systemctl stop slurmctld")
    try:
        refused = models.model("gpu2", state="absent")
    finally:
        models.run("ctl", "systemctl start slurmctld")
    assert refused["error_kind"] == "in_use"
    assert "so it is kept. Listing the jobs of all users failed: " in refused["msg"]
    assert models.files("gpu2", path)


def test_hosts_that_share_a_cache_fetch_once(models: Models) -> None:
    before = models.given_by_hub()
    running = [models.start(host, user="vllm", cache_dir=SHARED) for host in ("gpu1", "gpu2", "gpu1", "gpu2")]
    results = [models.result(process) for process in running]
    assert sorted(result["changed"] for result in results) == [False, False, False, True]
    assert models.given_by_hub() - before == results[0]["total_bytes"]
    assert models.files("gpu1", results[0]["path"]) == models.files("gpu2", results[0]["path"])


def test_a_gated_model_and_where_its_token_is_not(models: Models) -> None:
    for token, kind in (("", "auth"), ("wrong", "licence")):
        refused = models.model("gpu2", repo_id=GATED_REPO, token=token)
        assert refused["error_kind"] == kind
        assert f"{models.hub}/{GATED_REPO}" in refused["msg"]
    done = models.model("gpu2", repo_id=GATED_REPO, token=GATED_TOKEN)
    assert done["changed"] is True
    for host in ("ctl", "gpu1", "gpu2"):
        # The brackets keep the search from finding itself.
        pattern = f"[{GATED_TOKEN[0]}]{GATED_TOKEN[1:]}"
        places = f"/proc/[0-9]*/environ /proc/[0-9]*/cmdline {OWN} /opt/models /var/log /home/vllm/vllm-jobs /tmp"
        assert models.run(host, f"grep -rls '{pattern}' {places} 2>/dev/null || true") == ""
        assert models.run(host, f"journalctl --no-pager | grep -c '{pattern}' || true").strip() == "0"
