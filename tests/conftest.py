"""A lab of the tests' own: name, network and state differ from the demo's, so testing never harms a demo in use.

Made anew at the start, whatever an earlier run left; removed at the end when all passed, else left for a look. One lab
serves all groups of a run. A developer sets LLMOPS_TEST_LAB to the name of a lab that is used as it stands, and kept.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from lab.settings import CHECKOUT, load
from tests.cluster import Cluster, Play, lab_command

NAME = "test"
KEPT = os.environ.get("LLMOPS_TEST_LAB")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three hosts with nothing on them."""
    if KEPT:
        lab_command("up", KEPT)
        yield Cluster(load(KEPT, CHECKOUT / "inventory/lab"))
        return
    lab_command("down", NAME)
    lab_command("up", NAME)
    yield Cluster(load(NAME, CHECKOUT / "inventory/lab"))
    if request.session.testsfailed:
        print(f"\nA test failed: the lab {NAME!r} is left as it is. Remove it: python -m lab down --name {NAME}")
    else:
        lab_command("down", NAME)


@pytest.fixture(scope="session")
def first_run(cluster: Cluster) -> Play:
    """site.yml on hosts with nothing on them."""
    return cluster.play("site.yml")


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
