# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences of what Slurm, a driver and people do, on a fake of both: what must hold after each, and after a sweep."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.roles.elastic.elastic_fakes import BOOTING, OFF, UP, World

NAMES = ("a", "b", "c", "d")
SOME = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
FAULTS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["capacity", "permanent"]))
KILLED = st.sampled_from(["", "", "start", "stop"])


class Elastic(RuleBasedStateMachine):
    """Slurm's side of the contract is the rules' preconditions; ours are the invariants."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name), *NAMES)
        self.expected = 0

    def teardown(self) -> None:
        self._folder.cleanup()

    def _is(self, name: str, *flags: str) -> bool:
        return set(flags) <= self.world.slurm.table[name].flags

    def _suspend_what_slurm_wants(self) -> None:
        while self.world.slurm.to_suspend:
            self.world.elastic.suspend(self.world.slurm.to_suspend.pop())

    def _failed(self, before: dict[str, float]) -> None:
        memory = self.world.store.read()
        for name, record in memory.nodes.items():
            if record.phase == "paused" and before.get(name) != record.since and "capacity" not in record.reason:
                self.expected += 1

    def _pauses(self) -> dict[str, float]:
        return {name: one.since for name, one in self.world.store.read().nodes.items() if one.phase == "paused"}

    @rule(names=SOME, faults=FAULTS, lost=st.sampled_from(["", *NAMES]), killed=KILLED, together=st.booleans())
    def resume(self, names: list[str], faults: dict[str, str], lost: str, killed: str, together: bool) -> None:
        names = [name for name in names if self._is(name, "IDLE", "POWERED_DOWN") and not self._is(name, "DRAIN")]
        if not names:
            return
        for name in names:
            self.world.slurm.set(name, BOOTING, reason="")
        driver = self.world.driver
        driver.faults, driver.lost, driver.killed_at = faults, {lost} if lost else set(), killed
        text = json.dumps({"jobs": [{"job_id": 1, "nodes_alloc": ",".join(names)}]}) if together else None
        before = self._pauses()
        try:
            self.world.elastic.resume(",".join(names), text)
        except KeyboardInterrupt:
            pass
        else:
            if together and any(self._is(name, "DOWN") for name in names):
                assert not any(driver.of(name) for name in names), "all or nothing"
        driver.faults, driver.lost, driver.killed_at = {}, set(), ""
        self._failed(before)
        self._suspend_what_slurm_wants()

    @rule(name=st.sampled_from(NAMES))
    def comes_up(self, name: str) -> None:
        if self._is(name, "POWERING_UP") and not self._is(name, "DOWN") and self.world.driver.of(name):
            self.world.slurm.set(name, UP)

    @rule(name=st.sampled_from(NAMES))
    def never_comes_up(self, name: str) -> None:
        if self._is(name, "POWERING_UP"):
            self.world.slurm.set(name, {"DOWN", "CLOUD", "POWERED_DOWN"}, reason="ResumeTimeout reached")
            before = self._pauses()
            self._observe_success()
            self.world.elastic.fail(name)
            self._failed(before)

    @rule(names=SOME, fails=st.booleans())
    def idle(self, names: list[str], fails: bool) -> None:
        names = [name for name in names if self.world.slurm.table[name].flags == UP]
        for name in names:
            self.world.slurm.set(name, OFF)
            self.world.driver.stop_fails = {name} if fails else set()
        if names:
            self.world.elastic.suspend(",".join(names))
        self.world.driver.stop_fails = set()

    @rule(name=st.sampled_from(NAMES))
    def is_taken_away(self, name: str) -> None:
        for one in self.world.driver.of(name):
            del self.world.driver.instances[one]
        if self._is(name, "CLOUD") and self.world.slurm.table[name].flags == UP:
            self.world.slurm.set(name, {"DOWN", "CLOUD"}, reason="Not responding")

    @rule(name=st.sampled_from([*NAMES, "ghost"]), number=st.integers(100, 103))
    def somebody_starts_one(self, name: str, number: int) -> None:
        self.world.driver.add(name, number)

    @rule(seconds=st.integers(1, 700))
    def time_goes_by(self, seconds: int) -> None:
        self.world.now += seconds

    @rule()
    def unprotect(self) -> None:
        self._observe_success()
        self.world.elastic.unprotect("gpu")
        self.expected = 0
        self._suspend_what_slurm_wants()

    def _observe_success(self) -> None:
        memory = self.world.store.read()
        table = self.world.slurm.table
        if any(one.phase == "starting" and table[name].up for name, one in memory.nodes.items()):
            self.expected = 0

    @rule()
    def sweep(self) -> None:
        self._observe_success()
        before = self._pauses()
        self.world.elastic.sweep()
        self._failed(before)
        self._suspend_what_slurm_wants()
        for name in [*NAMES, "ghost"]:
            count = len(self.world.driver.of(name))
            assert count <= 1, f"{name} has {count} instances after a sweep"
            off = name == "ghost" or self._is(name, "POWERED_DOWN")
            assert not (off and count), f"{name} is off and has an instance after a sweep"

    @rule()
    def the_end_of_all_trouble(self) -> None:
        """Whatever was before: after all pauses, two sweeps and an admin's word every node can be had again."""
        self.world.elastic.unprotect("gpu")
        self.expected = 0
        for _ in range(2):
            self.world.now += 1000
            self._suspend_what_slurm_wants()
            self.world.elastic.sweep()
        self._suspend_what_slurm_wants()
        for name in NAMES:
            node = self.world.slurm.table[name]
            # What runs and does not answer is not ours to end: it may come back, or an admin looks at it.
            hangs = node.reason == "Not responding" and self.world.driver.of(name)
            assert hangs or not node.flags & {"DOWN", "DRAIN"}, f"{name} is {sorted(node.flags)}"

    @invariant()
    def never_two_of_ours(self) -> None:
        ours = [one for one in self.world.driver.instances.values() if not 100 <= one.started <= 103]
        names = [one.node for one in ours]
        assert len(names) == len(set(names)), f"two instances for a node: {ours}"

    @invariant()
    def counts_are_right(self) -> None:
        memory = self.world.store.read()
        found = memory.tallies["gpu"].count if "gpu" in memory.tallies else 0
        if not any(one.phase == "starting" and self.world.slurm.table[name].up for name, one in memory.nodes.items()):
            assert found <= self.expected
        assert ("gpu" in memory.protected) or found < self.world.settings.failures


Elastic.TestCase.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
test_sequences = Elastic.TestCase
