# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of this node for this job alone, as long as it runs.

A lease is a name in the kernel (an abstract socket): two jobs cannot have it at once, no file is left behind, and it is
given back when the process that holds it ends, however it ends. `ss -xl | grep llmops-port` lists them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from llmops_node.errors import NodeError

_NAME = "\0llmops-port-%d"
# Jobs begin at different places of the range, so that they seldom ask for the same port.
_STRIDE = 16


def parse_range(text: str) -> range:
    """'20000-29999' as numbers."""
    first, last = text.split("-")
    return range(int(first), int(last) + 1)


def in_turn(ports: range, job_id: int) -> Iterator[int]:
    """All ports of the range, beginning at the job's own place."""
    start = job_id * _STRIDE % len(ports)
    yield from ports[start:]
    yield from ports[:start]


def is_free(port: int) -> bool:
    """Whether nothing listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: connections that have ended do not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen(1)
        except OSError:
            return False
    return True


@dataclass
class Leases:
    """The ports that this process holds."""

    ports: range
    job_id: int
    held: dict[int, socket.socket] = field(default_factory=dict)

    def _take(self, port: int) -> bool:
        lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lease.bind(_NAME % port)
            # Listening shows it to `ss -xl`.
            lease.listen(0)
        except OSError:
            lease.close()
            return False
        if not is_free(port):
            lease.close()
            return False
        self.held[port] = lease
        return True

    def first(self, wishes: Iterable[int], what: str) -> int:
        """The first port that can be had: of the wishes, then of the range."""
        for port in (*wishes, *in_turn(self.ports, self.job_id)):
            if self._take(port):
                return port
        raise NodeError(
            f"Finding a free port for {what} failed: every port from {self.ports[0]} to {self.ports[-1]} is taken on "
            "this node. End what holds them, or widen vllm_jobs_port_range.",
            status=75,
        )

    def named(self, names: Sequence[str], wishes: dict[str, int]) -> dict[str, int]:
        """A port for each name."""
        return {name: self.first([wishes[name]] if name in wishes else [], name) for name in names}

    def release(self) -> None:
        for lease in self.held.values():
            lease.close()
        self.held.clear()
