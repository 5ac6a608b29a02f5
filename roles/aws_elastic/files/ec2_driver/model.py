# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked, what there is, and what is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

OK = "ok"
CAPACITY = "capacity"
THROTTLED = "throttled"
PERMANENT = "permanent"

CONTRACT = 1
TAG_CLUSTER, TAG_NODE = "llmops-cluster", "llmops-elastic"
TAG_ROLE, TAG_GROUP = "llmops-role", "llmops-group"
ON_DEMAND, SPOT = "on-demand", "spot"
STOP, TERMINATE = "stop", "terminate"
# A name is written into the user data of an instance.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class DriverError(Exception):
    """The call as a whole, or a call of EC2, came to nothing: of which kind, and in words."""

    def __init__(self, kind: str, message: str, elsewhere: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        # EC2's.
        self.code = code
        # Whether another type or subnet may do.
        self.elsewhere = elsewhere


@dataclass(frozen=True)
class Settings:
    """elastic_driver_settings; times in seconds."""

    region: str
    # Of another EC2 or of an emulator; and of another metadata service.
    endpoint_url: str = ""
    metadata_url: str = ""
    # Launches at one time, and tries of one call of EC2 that is throttled or fails.
    workers: int = 8
    attempts: int = 8
    # Within which a call of this driver answers; below elastic_driver_timeout.
    timeout: float = 100.0


@dataclass(frozen=True)
class Options:
    """elastic_node_options of one node."""

    launch_template: str = ""
    # Places are tried in this order: the first type in each subnet, then the next type.
    types: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    market: str = ON_DEMAND
    when_idle: str = ""

    @property
    def ends(self) -> bool:
        """An idle instance is terminated. EC2 does not stop the spot instances that this driver asks for."""
        return self.when_idle == TERMINATE or self.market == SPOT


@dataclass(frozen=True)
class Wish:
    """One node of a request. Options that cannot be used leave their problem in words."""

    name: str
    token: str = ""
    options: Options = Options()
    problem: str = ""
    # Of a stop: these instances; empty for all of the node.
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    cluster: str
    settings: Settings
    nodes: tuple[Wish, ...]


@dataclass(frozen=True)
class Instance:
    """What EC2 has for a node, in its own words for the state."""

    id: str
    node: str
    state: str
    address: str = ""
    launched: float = 0.0
    spot: bool = False
    # Why it is not running.
    reason: str = ""
    # The client token of its launch.
    token: str = ""

    @property
    def alive(self) -> bool:
        return self.state in ("pending", "running")

    @property
    def gone(self) -> bool:
        return self.state in ("shutting-down", "terminated")


@dataclass(frozen=True)
class Template:
    """The launch template of a group, in the version that counts now."""

    name: str
    version: str
    interfaces: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where an instance may be; what is empty is as in the template."""

    type: str = ""
    subnet: str = ""

    def __str__(self) -> str:
        return f"{self.type or 'the type of the template'} in {self.subnet or 'the subnet of the template'}"


@dataclass(frozen=True)
class Result:
    """What became of one node."""

    kind: str
    message: str = ""
    instance: str = ""
    address: str = ""

    def answer(self) -> dict[str, str]:
        words = {"message": self.message, "instance": self.instance, "address": self.address}
        return {"result": self.kind, **{key: value for key, value in words.items() if value}}


def read_request(found: Any) -> Request:
    """Check a request; a fault of the whole is permanent."""
    try:
        if found["version"] != CONTRACT:
            raise DriverError(PERMANENT, f"the request has version {found['version']}, this driver speaks {CONTRACT}")
        nodes = tuple(_wish(one) for one in found.get("nodes", []))
        return Request(str(found["cluster"]), read_settings(found["settings"]), nodes)
    except (KeyError, TypeError, AttributeError) as error:
        raise DriverError(PERMANENT, f"the request is none: {error!r}") from error


def read_settings(found: Mapping[str, Any]) -> Settings:
    strange = sorted(set(found) - {one.name for one in fields(Settings)})
    if strange or not found.get("region"):
        words = f"has unknown keys {', '.join(strange)}" if strange else "has no region"
        raise DriverError(PERMANENT, f"elastic_driver_settings {words}; credentials come from the instance profile")
    try:
        made = Settings(
            region=str(found["region"]),
            endpoint_url=str(found.get("endpoint_url") or ""),
            metadata_url=str(found.get("metadata_url") or ""),
            workers=int(found.get("workers", Settings.workers)),
            attempts=int(found.get("attempts", Settings.attempts)),
            timeout=float(found.get("timeout", Settings.timeout)),
        )
    except (TypeError, ValueError) as error:
        raise DriverError(PERMANENT, f"elastic_driver_settings has a number that is none: {error}") from error
    if min(made.workers, made.attempts, made.timeout) < 1:
        raise DriverError(PERMANENT, "elastic_driver_settings: workers, attempts and timeout must be at least 1")
    return made


def _wish(found: Mapping[str, Any]) -> Wish:
    name = str(found["name"])
    instances = tuple(str(one) for one in found.get("instances") or ())
    try:
        options, problem = read_options(found.get("options") or {}), ""
    except ValueError as error:
        options, problem = Options(), f"elastic_node_options of {name}: {error}"
    if not _NAME.fullmatch(name):
        problem = f"{name[:80]!r} cannot be the host name of an instance"
    return Wish(name, str(found.get("token") or ""), options, problem, instances)


def read_options(found: Mapping[str, Any]) -> Options:
    """Check the options of a node; ValueError in words."""
    strange = sorted(set(found) - {one.name for one in fields(Options)})
    if strange:
        raise ValueError(f"unknown keys {', '.join(strange)}")
    for key in ("types", "subnets"):
        if not isinstance(found.get(key, []), (list, tuple)):
            raise ValueError(f"{key} must be a list, not {found[key]!r}")
    market, when_idle = str(found.get("market") or ON_DEMAND), str(found.get("when_idle") or "")
    if market not in (ON_DEMAND, SPOT) or when_idle not in ("", STOP, TERMINATE):
        raise ValueError(f"market is {ON_DEMAND} or {SPOT}, when_idle {STOP} or {TERMINATE}, not {market}, {when_idle}")
    if market == SPOT and when_idle == STOP:
        raise ValueError("a spot instance cannot be stopped when it is idle, only terminated")
    return Options(
        launch_template=str(found.get("launch_template") or ""),
        types=tuple(str(one) for one in found.get("types", [])),
        subnets=tuple(str(one) for one in found.get("subnets", [])),
        market=market,
        when_idle=when_idle,
    )
