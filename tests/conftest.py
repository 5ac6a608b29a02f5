"""A lab of the tests' own: name, network and state differ from the demo's, so testing never harms a demo in use.

Made anew at the start, whatever an earlier run left; removed at the end when all passed, else left for a look. One lab
serves all groups of a run. A developer sets LLMOPS_TEST_LAB to the name of a lab that is used as it stands, and kept.
LLMOPS_TEST_SITE names a folder with an inventory and a site.yml that take the place of the demo's.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from lab.settings import CHECKOUT, load
from tests.cluster import Cluster, Play, lab_command

SITE = Path(os.environ.get("LLMOPS_TEST_SITE", CHECKOUT)).resolve()
INVENTORY = CHECKOUT / "inventory/lab" if SITE == CHECKOUT else SITE / "inventory"
NAME = "test" if SITE == CHECKOUT else f"test-{SITE.name}"
KEPT = os.environ.get("LLMOPS_TEST_LAB")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three hosts with nothing on them."""
    where = ("--inventory", str(INVENTORY))
    if KEPT:
        lab_command("up", KEPT, *where)
        yield Cluster(load(KEPT, INVENTORY))
        return
    lab_command("down", NAME, *where)
    lab_command("up", NAME, *where)
    yield Cluster(load(NAME, INVENTORY))
    if request.session.testsfailed:
        remove = f"python -m lab down --name {NAME} --inventory {INVENTORY}"
        print(f"\nA test failed: the lab {NAME!r} is left as it is. Remove it: {remove}")
    else:
        lab_command("down", NAME, *where)


@pytest.fixture(scope="session")
def first_run(cluster: Cluster) -> Play:
    """site.yml on hosts with nothing on them."""
    return cluster.play(str(SITE / "site.yml"))


@pytest.fixture(scope="session")
def site(cluster: Cluster, first_run: Play) -> Cluster:
    """The lab with site.yml run on it."""
    assert first_run.rc == 0, first_run.output[-6000:]
    return cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    found = getattr(item, "funcargs", {}).get("cluster") or getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(found, Cluster):
        report.sections.append(("The cluster's own words", found.evidence()))
    return report
