"""The collection as users install it: built, installed elsewhere, its playbooks called by their full names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab.settings import CHECKOUT
from tests.cluster import Cluster

BIN = Path(sys.executable).parent


def test_installed_collection_finds_the_cluster_as_it_should_be(site: Cluster, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    built, installed, home = tmp_path / "built", tmp_path / "installed", tmp_path / "elsewhere"
    for command in (
        [str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(built)],
        [str(BIN / "ansible-galaxy"), "collection", "install", "--offline", "--force", "-p", str(installed), "TARBALL"],
    ):
        tarballs = [str(path) for path in built.glob("*.tar.gz")]
        argv = [word if word != "TARBALL" else tarballs[0] for word in command]
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (installed / "ansible_collections/llmops/cluster/roles").is_dir()
    size = sum(path.stat().st_size for path in built.glob("*.tar.gz"))
    assert size < 1_000_000, "the lab and its models stay out of the artefact"

    shutil.copytree(CHECKOUT / "inventory/lab", home / "inventory")
    shutil.copy(CHECKOUT / "group_vars/vllm.yml", home / "inventory/group_vars/vllm.yml")
    (home / "ansible.cfg").write_text(
        f"[defaults]\ncollections_path = {installed}\n[ssh_connection]\npipelining = True\n"
    )
    lab_models = f"lab_models={CHECKOUT / 'lab/models/hub'}"
    play = site.play("llmops.cluster.site", "-e", lab_models, cwd=home, inventory=home / "inventory")
    assert play.rc == 0, play.output[-4000:]
    assert play.changed == 0, play.output
