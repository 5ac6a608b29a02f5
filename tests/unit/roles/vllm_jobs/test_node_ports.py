# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that one job has and no other."""

from __future__ import annotations

import socket

import pytest
from llmops_node.errors import NodeError
from llmops_node.ports import Leases, in_turn, parse_range

# Not those of the defaults: a lab of this machine may have them.
RANGE = range(31000, 31040)


def test_range() -> None:
    assert parse_range("20000-29999") == range(20000, 30000)


def test_jobs_begin_at_places_of_their_own_and_know_the_whole_range() -> None:
    assert next(in_turn(RANGE, 0)) == 31000
    assert next(in_turn(RANGE, 1)) == 31016
    assert sorted(in_turn(RANGE, 7)) == list(RANGE)


def test_two_jobs_never_share_a_port() -> None:
    one, two = Leases(RANGE, 1), Leases(RANGE, 1)
    ports = [leases.first([31016], "it") for leases in (one, two, one, two)]
    assert len(set(ports)) == 4
    one.release()
    assert two.first([31016], "it") == 31016
    two.release()


def test_a_busy_port_moves_on() -> None:
    with socket.create_server(("", 0)) as server:
        busy = server.getsockname()[1]
        leases = Leases(RANGE, 0)
        assert leases.named(["port", "master"], {"port": busy}) == {"port": 31000, "master": 31001}
        leases.release()


def test_none_left() -> None:
    leases = Leases(range(31000, 31002), 0)
    leases.named(["a", "b"], {})
    with pytest.raises(NodeError) as error:
        leases.first([], "c")
    leases.release()
    assert str(error.value) == (
        "Finding a free port for c failed: every port from 31000 to 31001 is taken on this node. End what holds them, "
        "or widen vllm_jobs_port_range."
    )
    assert error.value.status == 75
