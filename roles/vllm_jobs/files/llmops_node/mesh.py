# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a job meet before weights load: they learn each other's places, and try every link between them.

The first node listens on the first free port of the job's range; the others try that range's ports in the same order,
and know it by a word that all nodes of the job share. The connections stay open: when one end goes, the other sees it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmops_node.errors import NodeError

# The first node may have found so many ports taken by others.
_TRIED = 16
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Member:
    """One node of the job, as the others have to know it."""

    rank: int
    node: str
    interface: str
    address: str
    probe: int
    ports: dict[str, int]

    def plain(self) -> dict[str, t.Any]:
        return dict(self.__dict__)


class Link:
    """A connection between the first node and another: one JSON value a line."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def send(self, value: t.Any) -> None:
        self.connection.sendall(json.dumps(value).encode() + b"\n")

    def receive(self, seconds: float) -> t.Any:
        """The next value; None at the end, when none comes in time, or when what comes is none."""
        self.connection.settimeout(max(seconds, 0.1))
        while b"\n" not in self._buffer:
            try:
                piece = self.connection.recv(65536)
            except OSError:
                return None
            if not piece or len(self._buffer) > _LONGEST:
                return None
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError:
            return None

    def close(self) -> None:
        self.connection.close()


@contextlib.contextmanager
def listening(port: int) -> t.Iterator[None]:
    """Answers, and closes, every connection to this port: what the other nodes try."""
    with socket.create_server(("", port), backlog=256) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=answer, daemon=True).start()
        yield
        # Wakes the thread, which close() alone does not.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def try_links(me: Member, members: Sequence[Member], seconds: float = 5.0) -> list[str]:
    """What is wrong with the links from this node to each other one, in words."""
    faults = []
    for other in members:
        if other.rank == me.rank:
            continue
        try:
            socket.create_connection(
                (other.address, other.probe), timeout=seconds, source_address=(me.address, 0)
            ).close()
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            faults.append(
                f"{me.node} ({me.interface} {me.address}) cannot reach {other.node} at {other.address}, port "
                f"{other.probe} ({other.interface}): {why}"
            )
    return faults


@dataclass
class Meeting:
    """How the nodes find each other. `word`: shared by this job's nodes and no others."""

    word: str
    size: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def gather(self, server: socket.socket, me: Member, names: Sequence[str]) -> tuple[list[Member], dict[int, Link]]:
        """On the first node: every member, and the links to the others."""
        end = self.clock() + self.seconds
        members, links = {me.rank: me}, {}
        while len(members) < self.size:
            left = end - self.clock()
            if left <= 0:
                missing = [name for rank, name in enumerate(names) if rank not in members]
                raise NodeError(
                    f"Meeting the other nodes failed: {', '.join(missing)} did not come to {me.node} at {me.address}, "
                    f"port {server.getsockname()[1]}, within {self.seconds:g} s. Their own lines tell why."
                )
            server.settimeout(left)
            with contextlib.suppress(OSError):
                link = Link(server.accept()[0])
                hello = link.receive(5.0)
                if isinstance(hello, dict) and hello.pop("word", None) == self.word:
                    link.send("welcome")
                    member = Member(**hello)
                    members[member.rank], links[member.rank] = member, link
                else:
                    link.close()
        table = [members[rank] for rank in sorted(members)]
        for link in links.values():
            link.send([member.plain() for member in table])
        return table, links

    def join(
        self, addresses: Callable[[], Sequence[str]], ports: Sequence[int], me: Member, first: str
    ) -> tuple[list[Member], Link]:
        """On every other node: every member, and the link to the first node."""
        end = self.clock() + self.seconds
        why = "its name has no address"
        while self.clock() < end:
            for address in addresses():
                for port in ports[:_TRIED]:
                    link, why = self._knock(address, port, me, why)
                    if link is None:
                        continue
                    table = link.receive(end - self.clock() + 10)
                    if table:
                        return [Member(**one) for one in table], link
                    raise NodeError(
                        f"Meeting the other nodes failed: {first} ended the meeting. Its own lines tell why."
                    )
            self.sleep(0.5)
        raise NodeError(
            f"Meeting the other nodes failed: {me.node} ({me.interface} {me.address}) found nobody of this job on "
            f"{first} within {self.seconds:g} s: {why}. Open the ports of vllm_jobs_port_range between the nodes."
        )

    def _knock(self, address: str, port: int, me: Member, why: str) -> tuple[Link | None, str]:
        try:
            link = Link(socket.create_connection((address, port), timeout=1.0))
        except ConnectionRefusedError:
            # Nobody there yet, or the port before the one that the first node has got.
            return None, why if "no answer" in why else f"{address} refuses"
        except OSError as error:
            return None, f"{address}: no answer" if isinstance(error, TimeoutError) else f"{address}: {error.strerror}"
        link.send({"word": self.word, **me.plain()})
        # Whoever else listens there says something else, or nothing.
        if link.receive(2.0) == "welcome":
            return link, why
        link.close()
        return None, why


def agree(me: Member, members: Sequence[Member], links: dict[int, Link] | Link, seconds: float = 60.0) -> list[str]:
    """All faults of all links, known to every node."""
    faults = try_links(me, members)
    if isinstance(links, Link):
        links.send(faults)
        verdict = links.receive(seconds)
        return list(verdict[1:]) if verdict else ["the first node ended the meeting"]
    for rank, link in links.items():
        told = link.receive(seconds)
        faults += told if isinstance(told, list) else [f"{members[rank].node} left the meeting"]
    for link in links.values():
        link.send(["verdict", *faults])
    return faults
