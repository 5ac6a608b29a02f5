"""The lab as site.yml leaves it, whatever the end-to-end tests before left."""

from __future__ import annotations

import time

import pytest

from tests.cluster import Cluster

FIRST = "vllm-serve-phi3"


@pytest.fixture(scope="session", autouse=True)
def _only_the_first_model(site: Cluster) -> None:
    """A job of another model would hold the GPU that a test needs, and forbid to remove that model."""
    site.run("ctl", "scontrol update nodename=gpu1,gpu2 state=resume", check=False)
    ends = time.monotonic() + 120
    while others := [line.split()[0] for line in site.jobs("%A %j") if not line.endswith(f" {FIRST}")]:
        assert time.monotonic() < ends, f"jobs {others} did not end when they were cancelled"
        site.run("ctl", f"scancel {' '.join(others)}")
        time.sleep(1)
