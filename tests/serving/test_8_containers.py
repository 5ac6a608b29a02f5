# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine in a container of podman, out of an image that the playbook builds without a registry."""

from __future__ import annotations

import json
import shlex
import typing as t
from collections.abc import Callable

import pytest

from lab import image as lab_image
from lab import podman
from tests.cluster import Cluster
from tests.lab.client import QUESTIONS, api_key

from .serving import Server, wait

pytestmark = pytest.mark.slow

NAME = "localhost/llmops/vllm:0.32.0"
ARCHIVE = "/var/lib/llmops/rootfs.tar"
WANTED = {
    "vllm_image_base_archive": ARCHIVE,
    "vllm_image_engine": "/opt/vllm",
    "vllm_image_system_packages": ["libnuma1"],
    # A folder of the machine's own disk: the kernel makes no layers on top of those that a lab's host is made of, and
    # the program that does takes ten times as long.
    "vllm_image_storage": "/home/vllm/containers",
}
PODMAN = (
    "cd / && CONTAINERS_CONF=/etc/llmops/containers/containers.conf XDG_RUNTIME_DIR=/run/llmops-containers "
    "CONTAINERS_STORAGE_CONF=/etc/llmops/containers/storage.conf podman"
)


@pytest.fixture(scope="module")
def image(free: Cluster) -> str:
    """The host's own Debian with the engine, on the first host."""
    tarball = lab_image.root_filesystem("bookworm")
    free.run("gpu1", f"mkdir -p {ARCHIVE.rpartition('/')[0]}")
    podman.run("cp", str(tarball), f"{free.lab.container('gpu1')}:{ARCHIVE}")
    play = free.play("playbooks/build_image.yml", "--limit", "gpu1", "-e", json.dumps(WANTED))
    assert play.rc == 0, play.output[-6000:]
    again = free.play("playbooks/build_image.yml", "--limit", "gpu1", "-e", json.dumps(WANTED))
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    return NAME


def listed(cluster: Cluster, host: str = "gpu1") -> list[str]:
    return cluster.run(host, f"{PODMAN} ps --all --format '{{{{.Names}}}}'", user="vllm").split()


@pytest.fixture
def contained(server: Callable[..., Server], image: str) -> Server:
    found = server("boxed", runtime="podman", image=image)
    found.cluster.run("ctl", "scontrol update nodename=gpu2 state=drain reason=no-image-there")
    play = found.deploy()
    found.cluster.run("ctl", "scontrol update nodename=gpu2 state=resume")
    assert play.rc == 0, play.output[-6000:]
    return found


def test_it_answers_and_a_cancel_leaves_nothing(contained: Server) -> None:
    job = next(iter(contained.jobs().values()))
    contained.answers_word_for_word()
    assert listed(contained.cluster) == [f"llmops-{job}-0"]
    key = api_key(contained.cluster)
    shown = contained.cluster.run("gpu1", f"{PODMAN} inspect llmops-{job}-0; ps -eo args", user="vllm")
    assert key not in shown
    again = contained.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    contained.cancel()
    assert listed(contained.cluster) == []


def test_made_again_by_force_and_nothing_else_is_touched(contained: Server) -> None:
    job = next(iter(contained.jobs().values()))
    tag = f"{PODMAN} image inspect --format '{{{{.Id}}}}'"
    contained.cluster.run("gpu1", f"{PODMAN} tag {NAME} localhost/mine:1", user="vllm")
    before = contained.cluster.run("gpu1", f"{tag} {NAME}", user="vllm")
    forced = json.dumps({**WANTED, "vllm_image_force": True})
    play = contained.cluster.play("playbooks/build_image.yml", "--limit", "gpu1", "-e", forced)
    assert play.rc == 0, play.output[-6000:]
    assert play.changed > 0
    assert contained.cluster.run("gpu1", f"{tag} localhost/mine:1", user="vllm") == before
    assert contained.cluster.run("gpu1", f"{tag} {NAME}", user="vllm") != before
    # The server that runs out of the older image goes on.
    assert listed(contained.cluster) == [f"llmops-{job}-0"]
    contained.answers_word_for_word()
    again = contained.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-6000:]
    contained.cancel()


def test_a_batch_in_a_container(contained: Server) -> None:
    contained.cancel()
    known = QUESTIONS["questions"][0]
    body = {"model": "boxed", "temperature": 0, "messages": [{"role": "user", "content": known["question"]}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    folder = "/home/vllm/boxed-batch"
    contained.cluster.run("ctl", f"mkdir {folder}; echo {shlex.quote(json.dumps(line))} > {folder}/asked", user="vllm")
    words = f"batch_boxed.sh {folder}/asked {folder}/answers.jsonl"
    contained.cluster.run("ctl", f"cd /home/vllm/vllm-jobs && sbatch --wait --nodelist=gpu1 {words}", user="vllm")
    answer = json.loads(contained.cluster.run("ctl", f"cat {folder}/answers.jsonl; rm -r {folder}"))
    assert answer["response"]["body"]["choices"][0]["message"]["content"] == known["answer"]
    assert listed(contained.cluster) == []


def _kill_program(cluster: Cluster) -> None:
    cluster.run("gpu1", "kill -KILL $(pgrep -u vllm -f 'llmops_launch --name boxed' | tail -1)")


def _kill_podman(cluster: Cluster) -> None:
    cluster.run("gpu1", "kill -KILL $(pgrep -u vllm -f '^podman run --name llmops-')")


@pytest.mark.parametrize("kill", [_kill_podman, _kill_program], ids=["podman", "program"])
def test_a_killed_part_leaves_no_container(contained: Server, kill: t.Callable[[Cluster], None]) -> None:
    kill(contained.cluster)
    contained.nothing_is_left()
    wait(lambda: listed(contained.cluster) == [], 60, "the container to be gone")
