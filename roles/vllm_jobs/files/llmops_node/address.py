# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address of this node the others use: decided once, for every setting that asks for one.

By the interface's name or pattern or the network where one was wished for, else by the route to the other nodes. Never
loopback, link-local addresses or the bridges of containers and virtual machines: engines that pick one of those by
themselves wait for each other for ever.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import re
import socket
import subprocess
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmops_node.errors import NodeError

_NEVER: t.Final = (
    *("lo", "docker*", "podman*", "cni*", "cali*", "flannel*", "veth*", "virbr*", "vnet*", "br-*", "lxc*", "lxd*"),
    *("nerdctl*", "kube-*", "cilium*", "tunl*", "dummy*", "nodelocaldns*", "tailscale*"),
)


@dataclass(frozen=True)
class Place:
    """An interface and the address on it that others reach."""

    interface: str
    address: str

    def __str__(self) -> str:
        return f"{self.interface} {self.address}"


def usable(interfaces: Sequence[t.Mapping[str, t.Any]]) -> list[Place]:
    """Every address that could serve, out of what `ip -json address` says."""
    found = []
    for interface in interfaces:
        name = interface.get("ifname", "")
        up = "UP" in interface.get("flags", ()) and interface.get("operstate") != "DOWN"
        if not up or any(fnmatch.fnmatchcase(name, pattern) for pattern in _NEVER):
            continue
        for address in interface.get("addr_info", ()):
            plain = not address.get("secondary") and not address.get("deprecated")
            if address.get("family") == "inet" and address.get("scope") == "global" and plain:
                found.append(Place(name, address["local"]))
    return found


def _wished(found: Sequence[Place], wish: str) -> Place | None:
    """The first place of the first pattern or network that has one."""
    for part in (part.strip() for part in wish.split(",")):
        for place in found:
            if "/" in part:
                if ipaddress.ip_address(place.address) in ipaddress.ip_network(part, strict=False):
                    return place
            elif fnmatch.fnmatchcase(place.interface, part):
                return place
    return None


def _listed(found: Sequence[Place]) -> str:
    return ", ".join(str(place) for place in found) or "none"


def choose(
    found: Sequence[Place], wish: str, routes: Sequence[t.Mapping[str, t.Any]], default: Sequence[t.Mapping[str, t.Any]]
) -> Place:
    """The one place. `routes`: how the kernel reaches the other nodes; `default`: how it reaches the rest."""
    if wish:
        place = _wished(found, wish)
        if place is None:
            raise NodeError(
                f"Finding this node's address failed: no interface that is up and has an IPv4 address matches "
                f"{wish!r}. There are: {_listed(found)}. Correct the entry's key interface, or vllm_jobs_interface."
            )
        return place
    for route in routes:
        for place in found:
            if (route.get("dev"), route.get("prefsrc")) == (place.interface, place.address):
                return place
    # The other nodes' names lead nowhere useful: to this very node, or over a bridge.
    outward = [place for route in default for place in found if place.interface == route.get("dev")]
    if outward or len(found) == 1:
        return (outward or list(found))[0]
    raise NodeError(
        f"Finding this node's address failed: no route to the other nodes tells which it is. There are: "
        f"{_listed(found)}. Name one in the key interface of the entry, or in vllm_jobs_interface."
    )


def ask_ip(*words: str) -> list[dict[str, t.Any]]:
    """What `ip -json` answers; nothing where it has no answer."""
    try:
        done = subprocess.run(["ip", "-json", *words], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(f"Asking for this node's addresses with `ip` failed: {error}. Install iproute2.") from error
    if done.returncode or not done.stdout.strip():
        return []
    # Numbers and addresses only, so an answer that is no JSON is no answer of ip.
    return [one for one in json.loads(done.stdout) if one]


def _resolved(name: str) -> list[str]:
    try:
        return list(dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(name, None, socket.AF_INET)))
    except OSError:
        return []


def addresses_of(name: str) -> list[str]:
    """The IPv4 addresses of a node: of its name, else of the address that Slurm has for it."""
    found = _resolved(name)
    if found:
        return found
    argv = ["scontrol", "--oneliner", "show", "node", name]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    told = re.search(r"\bNodeAddr=(\S+)", done.stdout)
    return _resolved(told[1]) if told else []


def find(wish: str, others: Sequence[str], ask: Callable[..., list[dict[str, t.Any]]] = ask_ip) -> Place:
    """This node's place, as the other nodes (by their names) are to know it."""
    peers = [] if wish else [address for name in others[:4] for address in addresses_of(name)[:1]]
    routes = [route for peer in peers for route in ask("route", "get", peer)]
    return choose(usable(ask("address")), wish, routes, ask("route", "show", "default"))
