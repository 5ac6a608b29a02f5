# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake EC2 in memory, of the same face as the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.commands import Driver
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.model import (
    DriverError,
    Instance,
    Request,
    Settings,
    Template,
    Wish,
    read_options,
)
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.together import Deadline

TEMPLATE = "lab-gpu"


def instance(id: str, node: str, state: str = "running", launched: float = 1, **more: Any) -> Instance:  # noqa: A002
    return Instance(id, node, state, f"10.0.0.{id[-1]}", launched, **more)


def wish(name: str, *instances: str, token: str = "t", **options: Any) -> Wish:
    found = read_options({"launch_template": TEMPLATE, **options})
    return Wish(name, token, found, "", instances)


class FakeEc2:
    """Instances by id; refusals by the first words of a call."""

    def __init__(self, *instances: Instance) -> None:
        self.known = {one.id: one for one in instances}
        self.calls: list[tuple[str, Any]] = []
        self.refusals: dict[tuple[str, str], DriverError] = {}
        # What becomes of instances between two looks.
        self.changes: list[dict[str, str]] = []
        self.looks = 0

    def instances(self) -> list[Instance]:
        if self.looks and self.changes:
            for name, state in self.changes.pop(0).items():
                self.known[name] = replace(self.known[name], state=state)
        self.looks += 1
        return list(self.known.values())

    def template(self, name: str) -> Template:
        self._refuse("template", name)
        return Template(name, "3")

    def launch(self, arguments: Mapping[str, Any]) -> Instance:
        self.calls.append(("launch", arguments))
        self._refuse("launch", f"{arguments.get('InstanceType')} {arguments.get('SubnetId')}")
        number = len(self.known) + 1
        name = next(tag["Value"] for tag in arguments["TagSpecifications"][0]["Tags"] if tag["Key"] == "Name")
        made = instance(f"i-{number}", name, "pending", token=arguments["ClientToken"])
        self.known[made.id] = made
        return made

    def start(self, ids: Sequence[str]) -> None:
        self._set("start", ids, "pending")

    def stop(self, ids: Sequence[str]) -> None:
        self._set("stop", ids, "stopping")

    def terminate(self, ids: Sequence[str]) -> None:
        self._set("terminate", ids, "shutting-down")

    def _set(self, call: str, ids: Sequence[str], state: str) -> None:
        self.calls.append((call, list(ids)))
        for one in ids:
            self._refuse(call, one)
        for one in ids:
            self.known[one] = replace(self.known[one], state=state)

    def _refuse(self, call: str, words: str) -> None:
        if (call, words) in self.refusals:
            raise self.refusals[call, words]


class Clock:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def driver(ec2: FakeEc2, *wishes: Wish, clock: Clock | None = None, seconds: float = 100) -> Driver:
    clock = clock or Clock()
    request = Request("lab", Settings("us-east-1", workers=2), wishes)
    return Driver(ec2, request, Deadline(seconds, clock), clock.sleep)
