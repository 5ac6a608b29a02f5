"""What a kill or a careless hand does to a lab: the next `up` mends it, with what was on its hosts.

A lab of its own, without Slurm.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import network, podman
from lab.settings import CHECKOUT, Lab, load
from tests.cluster import lab_command

NAME = "heal"
MARK = "/root/was-here"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab_command("down", NAME)
    lab_command("up", NAME)
    found = load(NAME, CHECKOUT / "inventory/lab")
    for host in found.hosts:
        _on(found, host.name, "touch", MARK)
    yield found
    lab_command("down", NAME)


def _on(lab: Lab, host: str, *argv: str) -> str:
    return podman.exec_in(lab.container(host), argv)


def _mended(lab: Lab) -> None:
    lab_command("up", NAME)
    for host in lab.hosts:
        _on(lab, host.name, "test", "-e", MARK)
        others = [other for other in lab.hosts if other is not host]
        for other in others:
            address = _on(lab, host.name, "getent", "ahostsv4", other.name).split()[0]
            assert address == lab.address(other.octet)
        _on(lab, host.name, "bash", "-c", f"exec 3<>/dev/tcp/{others[0].name}/22")


def _process(lab: Lab, host: str) -> tuple[int, int]:
    """(the first process, its monitor), as this machine numbers them."""
    found = json.loads(podman.run("inspect", lab.container(host)).stdout)[0]
    return int(found["State"]["Pid"]), int(found["State"]["ConmonPid"])


def test_a_host_that_died_with_its_monitor(lab: Lab) -> None:
    pid, monitor = _process(lab, "gpu1")
    os.kill(monitor, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    for _ in range(50):
        if podman.containers(lab.container("gpu1")) == {lab.container("gpu1"): podman.DEAD}:
            break
        time.sleep(0.1)
    else:
        pytest.fail("podman says that a dead host runs, and so do we")
    _mended(lab)


def test_a_host_that_was_killed(lab: Lab) -> None:
    os.kill(_process(lab, "gpu2")[0], signal.SIGKILL)
    _mended(lab)


def test_a_bridge_that_is_gone(lab: Lab) -> None:
    bridge = network.bridge(network.networks(lab)[0])
    subprocess.run(["ip", "link", "delete", bridge], check=True)
    _mended(lab)


def test_facts_that_are_gone(lab: Lab) -> None:
    before = lab.facts()
    lab.facts_file.unlink()
    _mended(lab)
    after = lab.facts()
    assert (after["id"], after["subnet"]) == (before["id"], before["subnet"])


def test_words_of_a_lab_that_had_the_same_name_are_not_believed(lab: Lab) -> None:
    """The name server's file of a lab that was killed stays; no later lab reads it."""
    names = Path("/run/containers/networks/aardvark-dns")
    assert (names / network.networks(lab)[0]).exists()
    stale = names / lab.network("00000000")
    first = lab.address(1)
    stale.write_text(f"{first} \n{'0' * 64} 10.210.99.99  gpu1,ctl,gpu2\n")
    try:
        _mended(lab)
    finally:
        stale.unlink()
