# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's processes are told, and what their end means."""

from __future__ import annotations

import socket
import subprocess
import typing as t

import pytest
from llmops_node import address
from llmops_node.address import Place
from llmops_node.command import environment, fill, split
from llmops_node.errors import NodeError
from llmops_node.keep import exit_status, news
from llmops_node.mesh import Link

PLACE = Place("ib1", "172.17.1.1")


def test_words_in_braces() -> None:
    words = ["--master-addr", "{first_address}", "/tmp/ray-{job}", "plain"]
    assert fill(words, {"first_address": "10.0.0.1", "job": 7}) == ["--master-addr", "10.0.0.1", "/tmp/ray-7", "plain"]


def test_what_nobody_knows_is_not_left_in_braces() -> None:
    with pytest.raises(NodeError, match="Filling in {port} failed: known are job, rank"):
        fill(["{port}"], {"rank": 0, "job": 1})


def test_marks_part_the_words_and_the_last_one_leaves_the_rest_alone() -> None:
    words = ["--port", "1", "--first", "--a", "--engine", "vllm", "--first", '{"image": 2}']
    assert split(words, ("--first", "--others", "--engine")) == (
        ["--port", "1"],
        {"--first": ["--a"], "--others": [], "--engine": ["vllm", "--first", '{"image": 2}']},
    )


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        pytest.param({}, "VLLM_HOST_IP", "172.17.1.1", id="address"),
        pytest.param({"VLLM_HOST_IP": "127.0.0.1"}, "VLLM_HOST_IP", "172.17.1.1", id="one-for-all-nodes-is-wrong"),
        pytest.param({}, "NCCL_SOCKET_IFNAME", "=ib1", id="nccl"),
        pytest.param({"NCCL_SOCKET_IFNAME": "eth"}, "NCCL_SOCKET_IFNAME", "eth", id="nccl-of-the-entry"),
        pytest.param({}, "GLOO_SOCKET_IFNAME", "ib1", id="gloo"),
        pytest.param({}, "RAY_ADDRESS", "172.17.1.1:6379", id="added"),
    ],
)
def test_environment(given: dict[str, str], name: str, expected: str) -> None:
    assert environment(given, PLACE, {"RAY_ADDRESS": "172.17.1.1:6379"})[name] == expected


@pytest.mark.parametrize(
    ("status", "asked", "expected"),
    [
        pytest.param(0, False, 70, id="a-dead-engine"),
        pytest.param(3, False, 3, id="its-own-error"),
        pytest.param(-9, False, 137, id="killed"),
        pytest.param(0, True, 0, id="stopped"),
        pytest.param(-15, True, 0, id="stopped-by-the-signal"),
        pytest.param(1, True, 1, id="failed-while-stopping"),
        pytest.param(None, True, 137, id="had-to-be-killed"),
    ],
)
def test_exit_status(status: int | None, asked: bool, expected: int) -> None:
    assert exit_status(status, asked) == expected


def test_news_of_the_other_end() -> None:
    ours, theirs = socket.socketpair()
    link, other = Link(ours), Link(theirs)
    assert news(link) is None
    other.send(0)
    assert news(link) == 0
    other.close()
    assert news(link) is False


def test_a_node_whose_name_has_no_address_is_asked_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(argv: list[str], **_rest: t.Any) -> subprocess.CompletedProcess[str]:
        assert argv == ["scontrol", "--oneliner", "show", "node", "gpu9.invalid"]
        return subprocess.CompletedProcess(argv, 0, "NodeName=gpu9.invalid NodeAddr=127.0.0.9 NodeHostName=gpu9\n", "")

    monkeypatch.setattr(address.subprocess, "run", show)
    assert address.addresses_of("gpu9.invalid") == ["127.0.0.9"]
