# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that meet: on one machine, in threads."""

from __future__ import annotations

import socket
import threading
import typing as t

import pytest
from llmops_node.errors import NodeError
from llmops_node.mesh import Link, Meeting, Member, agree, listening, try_links


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def member(rank: int, address: str = "127.0.0.1") -> Member:
    return Member(rank, f"gpu{rank + 1}", "eth0", address, free_port(), {"port": 8000 + rank})


def meet(words: list[str], seconds: float = 10.0) -> dict[int, t.Any]:
    """What each node got: the members and the faults, or its error."""
    server = socket.create_server(("", 0))
    ports = [free_port(), server.getsockname()[1]]
    found: dict[int, t.Any] = {}

    def node(rank: int) -> None:
        me, meeting = member(rank), Meeting(words[rank], len(words), seconds)
        try:
            with listening(me.probe):
                if rank == 0:
                    with server:
                        table, links = meeting.gather(server, me, [f"gpu{one + 1}" for one in range(len(words))])
                    found[rank] = (table, agree(me, table, links))
                else:
                    table, link = meeting.join(lambda: ["127.0.0.1"], ports, me, "gpu1")
                    found[rank] = (table, agree(me, table, link))
        except NodeError as error:
            found[rank] = str(error)

    threads = [threading.Thread(target=node, args=(rank,)) for rank in range(len(words))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_three_nodes_know_each_other_and_all_links_answer() -> None:
    found = meet(["word", "word", "word"])
    tables = [found[rank] for rank in range(3)]
    assert all(isinstance(one, tuple) for one in tables), tables
    assert [[one.rank for one in table] for table, _faults in tables] == [[0, 1, 2]] * 3
    assert [faults for _table, faults in tables] == [[], [], []]


def test_a_node_of_another_job_is_not_let_in() -> None:
    found = meet(["word", "other"], seconds=1.5)
    assert "gpu2 did not come to gpu1 at 127.0.0.1, port" in str(found[0])
    assert "gpu2 (eth0 127.0.0.1) found nobody of this job on gpu1 within 1.5 s:" in str(found[1])


def test_a_link_that_does_not_answer_is_named() -> None:
    me, other = member(0), member(1)
    assert try_links(me, [me, other], 1.0) == [
        f"gpu1 (eth0 127.0.0.1) cannot reach gpu2 at 127.0.0.1, port {other.probe} (eth0): Connection refused"
    ]


def test_what_is_no_message_ends_the_link_and_not_the_program() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert Link(ours).receive(1.0) is None
    theirs.close()
    assert Link(ours).receive(1.0) is None


@pytest.mark.parametrize("faults", [[], ["gpu2 cannot reach gpu1"]], ids=["none", "one"])
def test_every_node_hears_the_same_verdict(faults: list[str]) -> None:
    ours, theirs = socket.socketpair()
    me, other = member(0), member(1)
    told = Link(theirs)
    told.send(faults)
    with listening(other.probe):
        assert agree(me, [me, other], {1: Link(ours)}) == faults
    assert told.receive(1.0) == ["verdict", *faults]
