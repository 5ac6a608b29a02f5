# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake Slurm and a fake driver of the same faces as the real ones, in memory, with a clock of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from llmops_elastic.commands import Elastic
from llmops_elastic.errors import ElasticError
from llmops_elastic.model import OK, Instance, Node, Outcome
from llmops_elastic.settings import Settings
from llmops_elastic.state import Store

OFF = frozenset({"IDLE", "CLOUD", "POWERED_DOWN"})
BOOTING = frozenset({"ALLOCATED", "CLOUD", "POWERING_UP", "NOT_RESPONDING"})
UP = frozenset({"IDLE", "CLOUD"})


def node(
    name: str,
    flags: Iterable[str] = UP,
    address: str = "",
    hostname: str = "",
    partitions: tuple[str, ...] = ("gpu",),
    reason: str = "",
) -> Node:
    return Node(name, frozenset(flags), address or name, hostname or name, partitions, reason)


def settings(*names: str, **more: object) -> Settings:
    values = {
        "cluster": "test",
        "driver": "/none",
        "nodes": {name: {} for name in names},
        "driver_settings": {},
        "slurm_bin": "/none",
        "state_folder": "/none",
        "uid": 401,
        "gid": 401,
        "driver_timeout": 10.0,
        "driver_tries": 3,
        "driver_backoff": 1.0,
        "failures": 3,
        "retry_pause": 300.0,
        "capacity_pause": 600.0,
        "start_grace": 60.0,
    }
    return Settings(**{**values, **more})  # type: ignore[arg-type]


class FakeSlurm:
    """Nodes by name; what it is told changes them as slurmctld would."""

    def __init__(self, *names: str) -> None:
        self.table = {name: node(name, OFF) for name in names}
        self.told: list[str] = []
        # Nodes whose SuspendProgram slurmctld still has to call.
        self.to_suspend: list[str] = []

    def set(self, name: str, flags: Iterable[str], **more: str) -> None:
        old = self.table[name]
        words = {"address": old.address, "hostname": old.hostname, "reason": old.reason, **more}
        self.table[name] = node(name, flags, partitions=old.partitions, **words)

    def expand(self, hosts: str) -> list[str]:
        return hosts.split(",")

    def nodes(self) -> dict[str, Node]:
        return dict(self.table)

    def set_addresses(self, addresses: Mapping[str, tuple[str, str]]) -> None:
        for name, (address, hostname) in addresses.items():
            self.told.append(f"address {name} {address} {hostname}")
            self.set(name, self.table[name].flags, address=address, hostname=hostname)

    def down(self, names: Sequence[str], reason: str) -> None:
        for name in names:
            self.told.append(f"down {name}: {reason}")
            # slurmctld keeps POWERING_UP: its clock for the boot runs on, and ends in a call of ResumeFailProgram.
            flags = self.table[name].flags - {"IDLE", "ALLOCATED", "NOT_RESPONDING"}
            self.set(name, flags | {"DOWN"}, reason=reason)

    def power_down(self, names: Sequence[str]) -> None:
        for name in names:
            self.told.append(f"power_down {name}")
            self.set(name, OFF, reason="")
            self.to_suspend.append(name)

    def drain(self, names: Sequence[str], reason: str) -> None:
        for name in names:
            self.told.append(f"drain {name}: {reason}")
            self.set(name, self.table[name].flags | {"DRAIN"}, reason=reason)

    def undrain(self, names: Sequence[str]) -> None:
        for name in names:
            self.told.append(f"undrain {name}")
            self.set(name, self.table[name].flags - {"DRAIN"}, reason="")


class FakeDriver:
    """Instances in memory. `faults`: node -> kind of what start says; `lost`: nodes whose start is not told of."""

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self.faults: dict[str, str] = {}
        self.lost: set[str] = set()
        self.stop_fails: set[str] = set()
        self.list_fails = False
        self.killed_at = ""
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self._tokens: dict[str, str] = {}

    def _note(self, command: str, names: Iterable[str]) -> None:
        self.calls.append((command, tuple(sorted(names))))
        if self.killed_at == command:
            self.killed_at = ""
            raise KeyboardInterrupt

    def of(self, name: str) -> list[str]:
        return [one.id for one in self.instances.values() if one.node == name]

    def add(self, name: str, number: int = 0, address: str = "") -> None:
        one = Instance(name, f"i-{name}-{number}", True, address, float(number))
        self.instances[one.id] = one

    def start(self, tokens: Mapping[str, str]) -> dict[str, Outcome]:
        self._note("start", tokens)
        return {name: self._start(name, token) for name, token in tokens.items()}

    def _start(self, name: str, token: str) -> Outcome:
        if name in self.faults:
            return Outcome(self.faults[name], "told to")
        if not self.of(name):
            self.add(name, len(self.calls))
        return Outcome("broken", "answer lost") if name in self.lost else Outcome(OK, address=f"10.0.0.{len(name)}")

    def stop(self, instances: Mapping[str, Sequence[str]]) -> dict[str, Outcome]:
        self._note("stop", instances)
        for name, ids in instances.items():
            for one in self.of(name):
                if name not in self.stop_fails and (not ids or one in ids):
                    del self.instances[one]
        return {name: Outcome("permanent" if name in self.stop_fails else OK) for name in instances}

    def list(self) -> list[Instance]:
        if self.list_fails:
            raise ElasticError("listing failed")
        return list(self.instances.values())


class World:
    """Everything a command needs."""

    def __init__(self, folder: Path, *names: str, **more: object) -> None:
        self.now = 1000.0
        self.slurm = FakeSlurm(*names)
        self.driver = FakeDriver()
        self.store = Store(str(folder))
        self.settings = settings(*names, **more)
        self.elastic = Elastic(self.settings, self.store, self.slurm, self.driver, lambda: self.now)  # type: ignore[arg-type]
