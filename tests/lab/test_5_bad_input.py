"""Bad input stops before it harms anything, and says what, where and what is allowed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lab.settings import CHECKOUT
from tests.cluster import Cluster

GOOD = {"name": "tiny", "model_id": "llmops-lab/phi3-tiny", "revision": "main", "port": 8010, "max_model_len": 256}


def _models(*entries: dict[str, object]) -> list[str]:
    return ["-e", json.dumps({"vllm_models": list(entries), "vllm_model_overrides": {}})]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-e", "model=nosuch"], ["nosuch", "mistral", "phi3"]),
        (["-e", "model="], ["model (or vllm_site_models)", "''", "Leave it out", "mistral", "phi3"]),
        (["-e", '{"model": []}'], ["model is an empty list", "leave it out"]),
        (["-e", "modell=phi3"], ["The variable modell (set for", "Did you mean model?"]),
        (["-e", '{"vllm_models": "phi3"}'], ["msg: 'vllm_models: ''phi3'' found; allowed is a list of models.'"]),
        (["-e", '{"vllm_model_overrides": {"phi4": {}}}'], ["vllm_model_overrides: phi4", "Did you mean phi3?"]),
        (
            ["-e", '{"slurm_settings": ["X"], "slurm_uid": "x"}'],
            ["slurm_settings: ['X']", "slurm_uid: 'x'", "a whole number"],
        ),
        (_models(GOOD | {"port": "x"}), ["vllm_models[0] (tiny)", "port", "'x'", "1024 to 65535"]),
        (_models(GOOD | {"gpu_memory_utilisation": 0.9}), ["gpu_memory_utilisation", "gpu_memory_utilization"]),
        (_models(GOOD, GOOD | {"name": "other"}), ["tiny", "other", "port", "8010"]),
        (_models(GOOD | {"name": "../tiny"}), ["../tiny", "name"]),
        (_models(GOOD | {"name": "$(reboot)"}), ["$(reboot)", "name"]),
        (_models(GOOD | {"extra_args": ["--api-key", "sk-1"]}), ["--api-key", "vllm_jobs_api_key_file"]),
        (_models(GOOD | {"trust_remote_code": True}), ["trust_remote_code", "revision"]),
        (_models(GOOD | {"gpus": 2, "tensor_parallel_size": 3}), ["tensor_parallel_size", "gpus"]),
    ],
    ids=[
        "unknown model",
        "no model",
        "empty list",
        "misspelt",
        "no list",
        "override",
        "types",
        "type",
        "unknown key",
        "two on one port",
        "path",
        "shell",
        "key in args",
        "code",
        "sizes",
    ],
)
def test_catalogue_is_refused_before_any_host(site: Cluster, arguments: list[str], says: list[str]) -> None:
    before = site.jobs()
    play = site.play("deploy-vllm-models.yml", *arguments)
    assert play.rc != 0
    for word in says:
        assert word in play.words, f"{word!r} is missing in:\n{play.output[-3000:]}"
    assert "Gathering Facts" not in play.output, "a host was touched"
    assert play.output.count("\n") < 80, "a short message, not the whole specification"
    assert site.jobs() == before


@pytest.mark.parametrize("playbook", ["site.yml", "deploy-vllm-models.yml", "playbooks/deploy_slurm.yml"])
def test_inventory_without_our_groups_is_refused(site: Cluster, tmp_path: Path, playbook: str) -> None:
    (tmp_path / "hosts.yml").write_text("web: {hosts: {ctl: }}\n")
    play = site.play(playbook, inventory=tmp_path)
    assert play.rc != 0
    assert "The group slurm_controller is missing; needed is exactly one host" in play.words
    assert "Groups found: web." in play.words
    assert "Gathering Facts" not in play.output, "a host was touched"


@pytest.mark.parametrize(
    ("settings", "says", "check"),
    [
        (
            {"slurm_settings": {"SlurmctldTimout": 5}},
            "no key SlurmctldTimout. Did you mean SlurmctldTimeout?",
            [],
        ),
        ({"slurm_settings": {"SchedulerType": "sched/backfil"}}, 'SchedulerType value "sched/backfil"', ["--check"]),
        (
            {"slurm_cgroup_settings": {"ConstrainCors": True}},
            "no key ConstrainCors. Did you mean ConstrainCores?",
            [],
        ),
    ],
    ids=["key", "plugin, in check mode", "key of cgroup.conf"],
)
def test_slurm_conf_is_read_before_it_is_used(
    site: Cluster, settings: dict[str, object], says: str, check: list[str]
) -> None:
    look = "cat /etc/slurm/slurm.conf /etc/slurm/cgroup.conf; systemctl show --property=MainPID slurmctld"
    before = site.run("ctl", look)
    play = site.play("playbooks/deploy_slurm.yml", "-e", json.dumps(settings), *check)
    assert play.rc != 0
    assert says in play.words
    assert next(iter(settings)) in play.words
    assert play.changed == 0
    assert site.run("ctl", look) == before
    assert site.run("ctl", "scontrol ping").count("UP") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (_models(GOOD | {"revision": "0" * 40}), ["0" * 40, "llmops-lab/phi3-tiny", "revision"]),
        (_models(GOOD | {"model_id": "llmops-lab/gated-tiny"}), ["llmops-lab/gated-tiny", "token"]),
        (_models(GOOD | {"model_id": "llmops-lab/nosuch"}), ["llmops-lab/nosuch"]),
        (
            [*_models(GOOD), "-e", "model_store_dir=/tmp/models", "-e", "model_store_reserve_bytes=1000000000000000"],
            ["/tmp/models", "free"],
        ),
    ],
    ids=["revision", "gated", "repository", "disk"],
)
def test_model_that_cannot_be_had(site: Cluster, arguments: list[str], says: list[str]) -> None:
    before = site.jobs()
    play = site.play("deploy-vllm-models.yml", *arguments)
    assert play.rc != 0
    for word in says:
        assert word in play.words, f"{word!r} is missing in:\n{play.output[-3000:]}"
    assert site.jobs() == before
    assert site.run("gpu1", "ls /tmp/models/*/snapshots 2>/dev/null || true") == ""


def test_wrong_checksum_stops_before_unpacking(site: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    tarball = tmp_path_factory.mktemp("slurm") / "slurm.tar.bz2"
    tarball.write_bytes(b"not the tarball that was asked for")
    current = site.run("gpu1", "readlink /opt/slurm/current")
    settings = {"slurm_source": "upstream", "slurm_version": "26.05.4", "slurm_source_url": str(tarball)}
    play = site.play("playbooks/deploy_slurm.yml", "-e", json.dumps(settings))
    assert play.rc != 0
    assert "has SHA-256" in play.words
    assert str(tarball) in play.words
    assert site.run("gpu1", "readlink /opt/slurm/current") == current
    assert site.run("ctl", "scontrol ping").count("UP") == 1


def test_old_versions_are_refused(site: Cluster) -> None:
    play = site.play("playbooks/deploy_slurm.yml", "-e", "slurm_version=24.05.4", "-e", "slurm_source=upstream")
    assert play.rc != 0
    assert "CVE-2026-65107" in play.words
    assert "25.11.8" in play.words


def test_one_unreachable_host_stops_the_run(site: Cluster, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(site.lab.inventory, inventory)
    (inventory / "host_vars").mkdir()
    (inventory / "host_vars/gpu2.yml").write_text('ansible_ssh_common_args: "-F /nonexistent"\n')
    arguments = ["-e", "model=phi3", "-e", f"lab_models={CHECKOUT / 'lab/models/hub'}"]
    play = site.play("deploy-vllm-models.yml", *arguments, inventory=inventory)
    assert play.rc != 0
    assert "fatal: [gpu2]: UNREACHABLE!" in play.output
    assert "Start the job once" not in play.output, "a run that lost a host must not submit jobs"


def test_one_unreachable_host_changes_no_other(site: Cluster, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(site.lab.inventory, inventory)
    (inventory / "host_vars").mkdir()
    (inventory / "host_vars/gpu2.yml").write_text('ansible_ssh_common_args: "-F /nonexistent"\n')
    play = site.play("site.yml", "-e", f"lab_models={CHECKOUT / 'lab/models/hub'}", inventory=inventory)
    assert play.rc != 0
    assert "fatal: [gpu2]: UNREACHABLE!" in play.output
    assert play.changed == 0
    assert "munge :" not in play.output, "no role ran on the others"


def test_cluster_is_not_renamed(site: Cluster) -> None:
    play = site.play("playbooks/deploy_slurm.yml", "-e", "slurm_cluster_name=other")
    assert play.rc != 0
    assert "this controller's state is that of the cluster lab" in play.words
    assert play.changed == 0
    assert site.run("ctl", "scontrol ping").count("UP") == 1
