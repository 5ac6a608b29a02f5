# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what is asked and what there is. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .model import (
    CAPACITY,
    PERMANENT,
    SPOT,
    TAG_CLUSTER,
    TAG_GROUP,
    TAG_NODE,
    TAG_ROLE,
    DriverError,
    Instance,
    Options,
    Place,
    Result,
    Template,
    Wish,
)

# Of a template's network interface, what each instance may have of its own. An address or an interface that exists
# already can belong to one instance only.
_INTERFACE = (
    *("AssociatePublicIpAddress", "DeleteOnTermination", "Description", "DeviceIndex", "Groups", "InterfaceType"),
    *("Ipv6AddressCount", "NetworkCardIndex"),
)


def by_node(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """The instances of each node that are not gone, the newest first."""
    found: dict[str, list[Instance]] = {}
    for one in sorted(instances, key=lambda one: (-one.launched, one.id)):
        if not one.gone:
            found.setdefault(one.node, []).append(one)
    return found


@dataclass
class Plan:
    """What a start does with each node."""

    done: dict[str, Result] = field(default_factory=dict)
    # Stopped instances to start.
    wake: dict[str, Instance] = field(default_factory=dict)
    # They are still stopping.
    wait: dict[str, Instance] = field(default_factory=dict)
    launch: list[Wish] = field(default_factory=list)


def plan_start(wishes: Iterable[Wish], instances: Iterable[Instance]) -> Plan:
    """Start nothing twice: an instance of the node that runs, or can, is the one that is wanted."""
    made, known = Plan(), by_node(instances)
    for wish in wishes:
        some = known.get(wish.name, [])
        alive = next((one for one in some if one.alive), None)
        stopped = next((one for one in some if one.state == "stopped"), None)
        if alive:
            made.done[wish.name] = started(alive)
        elif stopped:
            made.wake[wish.name] = stopped
        elif some:
            made.wait[wish.name] = some[0]
        elif wish.problem:
            made.done[wish.name] = Result(PERMANENT, wish.problem)
        elif not wish.options.launch_template:
            made.done[wish.name] = Result(PERMANENT, f"elastic_node_options of {wish.name} has no launch_template")
        else:
            made.launch.append(wish)
    return made


def started(instance: Instance) -> Result:
    return Result("ok", instance=instance.id, address=instance.address)


def places(options: Options) -> list[Place]:
    """In the order in which they are tried."""
    return [Place(kind, subnet) for kind in options.types or ("",) for subnet in options.subnets or ("",)]


def client_token(wish: Wish, template: Template, place: Place) -> str:
    """With which EC2 makes one instance however often it is asked; other words need another token."""
    words = (wish.token, wish.name, template.name, template.version, place.type, place.subnet, wish.options.market)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def run_arguments(cluster: str, wish: Wish, template: Template, place: Place) -> dict[str, Any]:
    """The call of RunInstances for one node."""
    kinds = ["instance", "volume", "network-interface"]
    arguments: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateName": template.name, "Version": template.version},
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": client_token(wish, template, place),
        "UserData": f"#cloud-config\npreserve_hostname: false\nhostname: {wish.name}\n",
    }
    if place.type:
        arguments["InstanceType"] = place.type
    if place.subnet and template.interfaces:
        # EC2 refuses a subnet beside network interfaces; a list of them replaces all of the template's.
        arguments["NetworkInterfaces"] = [_interface(one, place.subnet) for one in template.interfaces]
    elif place.subnet:
        arguments["SubnetId"] = place.subnet
    if wish.options.market == SPOT:
        kinds.append("spot-instances-request")
        spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        arguments["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
    tags = [{"Key": key, "Value": value} for key, value in sorted(tags_of(cluster, wish, template).items())]
    arguments["TagSpecifications"] = [{"ResourceType": kind, "Tags": tags} for kind in kinds]
    return arguments


def tags_of(cluster: str, wish: Wish, template: Template) -> dict[str, str]:
    """What an instance and its parts are known by; the template may have more."""
    tags = {TAG_CLUSTER: cluster, TAG_ROLE: "compute", TAG_NODE: wish.name, "Name": wish.name}
    group = template.name.removeprefix(f"{cluster}-")
    return {**tags, TAG_GROUP: group} if group != template.name else tags


def _interface(found: Mapping[str, Any], subnet: str) -> dict[str, Any]:
    return {**{key: found[key] for key in _INTERFACE if key in found}, "SubnetId": subnet}


def refused(refusals: Sequence[tuple[Place, DriverError]]) -> Result:
    """No place would do: for want of capacity where it was that in any of them."""
    short = [(place, error) for place, error in refusals if error.kind == CAPACITY]
    words = "; ".join(f"{place}: {error}" for place, error in short or refusals)
    return Result(CAPACITY if short else PERMANENT, words)


@dataclass
class Ending:
    """What a stop does."""

    stop: dict[str, str] = field(default_factory=dict)
    terminate: dict[str, str] = field(default_factory=dict)


def plan_stop(wishes: Iterable[Wish], instances: Iterable[Instance]) -> Ending:
    """Which instances (id -> node) are stopped and which are terminated.

    A node keeps one stopped instance at most: another one would be paid for and never started.
    """
    made, known = Ending(), by_node(instances)
    for wish in wishes:
        some = known.get(wish.name, [])
        named = [one for one in some if not wish.instances or one.id in wish.instances]
        keep = None
        if not wish.options.ends and not any(one.alive for one in some if one not in named):
            keep = next((one for one in named if not one.spot), None)
        for one in named:
            if one is not keep:
                made.terminate[one.id] = wish.name
            elif one.alive:
                made.stop[one.id] = wish.name
    return made


# The contract's words for EC2's states.
STATES = {
    "pending": "starting",
    "running": "running",
    "stopping": "stopping",
    "shutting-down": "stopping",
    "stopped": "stopped",
}


def listing(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    """All that is not gone for good."""
    return [
        {
            "node": one.node,
            "instance": one.id,
            "state": STATES[one.state],
            "address": one.address,
            "started": one.launched,
        }
        for one in instances
        if one.state in STATES
    ]
