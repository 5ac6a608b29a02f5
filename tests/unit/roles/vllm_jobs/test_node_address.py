# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address a node takes. containers.json was recorded on a host of containers; other nodes are made by hand."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from llmops_node.address import Place, choose, find, usable
from llmops_node.errors import NodeError

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "ip-json" / "containers.json").read_text())


def interface(name: str, *addresses: str, up: bool = True, **more: t.Any) -> dict[str, t.Any]:
    """As `ip -json address` shows one."""
    return {
        "ifname": name,
        "flags": ["BROADCAST", "UP", "LOWER_UP"] if up else ["BROADCAST"],
        "operstate": "UP" if up else "DOWN",
        "addr_info": [{"family": "inet", "local": one, "scope": "global", **more} for one in addresses],
    }


# Ethernet for people, InfiniBand between the nodes, Docker.
HOPPER = [
    {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "operstate": "UNKNOWN", "addr_info": []},
    interface("eno1", "192.168.1.21"),
    interface("ib0", up=False),
    interface("ib1", "172.17.1.1"),
    interface("docker0", "172.18.0.1"),
]
DEFAULT = [{"dst": "default", "dev": "eno1"}]


def route(dev: str, prefsrc: str) -> dict[str, str]:
    return {"dst": "172.17.1.3", "dev": dev, "prefsrc": prefsrc}


def test_a_host_of_containers_has_one_address_that_others_reach() -> None:
    names = {place.interface for place in usable(RECORDED)}
    assert "eth0" in names
    assert not [name for name in names if name == "lo" or name.startswith(("podman", "veth"))]


@pytest.mark.parametrize(
    ("wish", "routes", "expected"),
    [
        pytest.param("", [route("ib1", "172.17.1.1")], Place("ib1", "172.17.1.1"), id="by-the-route"),
        pytest.param("", [route("lo", "127.0.1.1")], Place("eno1", "192.168.1.21"), id="own-name-is-loopback"),
        pytest.param("", [route("docker0", "172.18.0.1")], Place("eno1", "192.168.1.21"), id="bridge"),
        pytest.param("", [], Place("eno1", "192.168.1.21"), id="no-names"),
        pytest.param("ib1", [], Place("ib1", "172.17.1.1"), id="name"),
        pytest.param("ib*", [route("eno1", "192.168.1.21")], Place("ib1", "172.17.1.1"), id="pattern-before-route"),
        pytest.param("ens*, en*", [], Place("eno1", "192.168.1.21"), id="second-pattern"),
        pytest.param("172.17.0.0/16", [], Place("ib1", "172.17.1.1"), id="network"),
    ],
)
def test_choice(wish: str, routes: list[dict[str, str]], expected: Place) -> None:
    assert choose(usable(HOPPER), wish, routes, DEFAULT) == expected


@pytest.mark.parametrize("wish", ["ib0", "docker0", "lo", "wlan*", "10.0.0.0/8"])
def test_a_wish_that_cannot_be(wish: str) -> None:
    with pytest.raises(NodeError) as error:
        choose(usable(HOPPER), wish, [], DEFAULT)
    assert str(error.value) == (
        "Finding this node's address failed: no interface that is up and has an IPv4 address matches "
        f"{wish!r}. There are: eno1 192.168.1.21, ib1 172.17.1.1. Correct the entry's key interface, or "
        "vllm_jobs_interface."
    )


def test_two_interfaces_and_no_route_are_not_guessed_between() -> None:
    with pytest.raises(NodeError) as error:
        choose(usable(HOPPER), "", [], [])
    assert "no route to the other nodes tells which it is. There are: eno1 192.168.1.21, ib1" in str(error.value)


def test_an_address_that_moves_between_hosts_is_not_taken() -> None:
    found = usable([interface("eth0", "10.0.0.5"), interface("eth0", "10.0.0.9", secondary=True)])
    assert found == [Place("eth0", "10.0.0.5")]


def test_ip_is_asked_for_the_way_to_the_others() -> None:
    asked = []

    def ask(*words: str) -> list[dict[str, t.Any]]:
        asked.append(words)
        return {"address": HOPPER, "route": [route("ib1", "172.17.1.1")]}[words[0]]

    assert find("", ["localhost"], ask) == Place("ib1", "172.17.1.1")
    assert asked == [("route", "get", "127.0.0.1"), ("address",), ("route", "show", "default")]
