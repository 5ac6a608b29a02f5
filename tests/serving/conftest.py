# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab whose compute hosts are free, and what a test needs on them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import Cluster

from .serving import EAGER, MODEL, Server, wait

PLUGIN = Path(__file__).parent / "plugin"
# Its module is called as if it were a test of ours; it runs in the engine.
collect_ignore = ["plugin"]


@pytest.fixture(scope="session")
def free(site: Cluster) -> Cluster:
    """Nothing served: the hosts' two cores and memory are needed."""
    site.run("ctl", "scancel --user=vllm")
    wait(lambda: not site.jobs(), 60, "all jobs to end")
    return site


@pytest.fixture(scope="session")
def plugin(free: Cluster) -> str:
    """The folder of the test's platform, on all hosts."""
    folder = "/home/vllm/test-plugin"
    for path in sorted(PLUGIN.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            target = f"{folder}/{path.relative_to(PLUGIN)}"
            text = shlex.quote(path.read_text())
            free.run(
                "ctl", f"mkdir -p {shlex.quote(str(Path(target).parent))} && printf %s {text} > {target}", user="vllm"
            )
    return folder


@pytest.fixture
def server(free: Cluster) -> Callable[..., Server]:
    """A function that makes a server of an entry."""

    def make(name: str, engine_args: list[str] | None = None, **keys: object) -> Server:
        entry = {"name": name, "port": 8030, **MODEL, **keys}
        return Server(free, entry, tuple(EAGER if engine_args is None else engine_args))

    return make
