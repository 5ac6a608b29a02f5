"""The folder of a second Slurm on the lab's controller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.second_slurm import FOLDER, prepare
from tests.cluster import Cluster


@pytest.fixture
def version(site: Cluster) -> str:
    return site.run("ctl", "/opt/slurm/current/sbin/slurmctld -V").split()[-1]


@pytest.fixture
def folder(site: Cluster) -> Iterator[Cluster]:
    prepare(site.lab)
    yield site
    site.run("ctl", f"rm -rf {FOLDER}", check=False)
