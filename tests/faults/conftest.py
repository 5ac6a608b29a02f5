"""A lab of its own with Slurm, slurmdbd and MariaDB, the results of all faults, and their table at the end.

A developer keeps the lab from run to run with `--keep-lab`; `--plain` runs the plain script under the same faults too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.settings import CHECKOUT, load
from tests.cluster import Cluster, lab_command

from .report import Record, as_data, table
from .stage import Stage

NAME = "faults"
# As the lab's, but a node is lost in seconds and a job that ignores SIGTERM is killed in seconds.
SLURM_SETTINGS = {
    "SlurmdParameters": "config_overrides",
    "TaskPlugin": "task/none",
    "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,nohold_on_prolog_fail",
    "SlurmdTimeout": 20,
    "KillWait": 5,
}
RECORDS = pytest.StashKey[list[Record]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="use the lab as it stands and leave it")
    parser.addoption("--plain", action="store_true", help="run plain.sh under the same faults too")
    parser.addoption("--quick", action="store_true", help="only the faults that `make test` runs")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    left_out = [item for item in items if hasattr(item, "callspec") and not item.callspec.params["fault"].quick]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    keep = request.config.getoption("--keep-lab")
    if not keep:
        lab_command("down", NAME)
    lab_command("up", NAME, "--no-hub")
    cluster = Cluster(load(NAME, CHECKOUT / "inventory/lab"))
    if not keep or "slurmctld" not in cluster.run("ctl", "ls /etc/systemd/system", check=False):
        play = cluster.play("playbooks/deploy_slurm.yml", "-e", json.dumps({"slurm_settings": SLURM_SETTINGS}))
        assert play.rc == 0, play.output[-6000:]
    stage = Stage(cluster)
    stage.prepare()
    stage.restore()
    yield stage
    if request.session.testsfailed and not keep:
        print(f"\nA fault ended wrong: the lab {NAME!r} is left as it is. Remove it: python -m lab down --name {NAME}")
    elif not keep:
        lab_command("down", NAME)


@pytest.fixture
def records(request: pytest.FixtureRequest) -> Iterator[list[Record]]:
    records = request.config.stash[RECORDS]
    yield records
    # After each fault, so that a run that was cut short is worth something too.
    path = CHECKOUT / "build/faults.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(as_data(records), indent=2) + "\n")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    records = config.stash[RECORDS]
    if not records:
        return
    terminalreporter.section("faults: right final state, exactly one live job")
    terminalreporter.write_line(table(records))
    terminalreporter.write_line("Every fault with its outcome: build/faults.json")
