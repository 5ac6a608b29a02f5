# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer at a time, also on file systems whose locks succeed without locking anything.

No flock and no fcntl: only that making a file with O_EXCL succeeds for one process, which NFS, Lustre and FUSE keep to.
A run that wants to write makes the next numbered ticket in a folder. The highest ticket is the owner's; it says who
that is, its time is renewed every few seconds, and at the end it is marked free.

A ticket is left over when its process is gone or, for a process of another host, when nothing renewed it for STALE
seconds by the clock of the one who waits. To take over is to make the next number: of two that saw the same left-over
ticket one succeeds. The highest ticket is never removed, so a latecomer that makes a lower number sees that it lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

LOOK_INTERVAL = 0.5
BEAT = 10.0
# NFS may show a time that is a minute old.
STALE = 120.0
FREE = "free"
_TICKET = re.compile(r"ticket-(\d{8})")


@dataclass(frozen=True)
class Owner:
    """A process, and where its number means something: one boot of one kernel, one namespace of processes."""

    host: str
    pid: int
    place: str
    started: str

    @classmethod
    def me(cls) -> Owner:
        pid = os.getpid()
        return cls(host=socket.gethostname(), pid=pid, place=_place(), started=_started(pid) or "")

    @classmethod
    def load(cls, text: str) -> Owner | None:
        try:
            value = json.loads(text)
            return cls(
                host=str(value["host"]),
                pid=int(value["pid"]),
                place=str(value["place"]),
                started=str(value["started"]),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def alive(self) -> bool | None:
        """Whether the process still runs; None if that cannot be told from here."""
        if not self.place or self.place != _place():
            return None
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Tickets:
    """The numbered tickets of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def highest(self) -> int:
        return max(self._numbers(), default=0)

    def path(self, number: int) -> Path:
        return self.folder / f"ticket-{number:08d}"

    def take(self, number: int, text: str) -> bool:
        """Make this ticket, if nobody has it and nobody has a higher one."""
        try:
            descriptor = os.open(self.path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
        if self.highest() != number:
            self.path(number).unlink(missing_ok=True)
            return False
        for lower in self._numbers():
            if lower < number:
                self.path(lower).unlink(missing_ok=True)
        return True

    def read(self, number: int) -> tuple[str, int] | None:
        """Text and time of a ticket. It is opened for that: NFS asks the server anew when a file is opened."""
        try:
            with self.path(number).open(encoding="utf-8", errors="replace") as handle:
                return handle.read(1000), os.fstat(handle.fileno()).st_mtime_ns
        except OSError:
            return None

    def _numbers(self) -> list[int]:
        return [int(match[1]) for name in os.listdir(self.folder) if (match := _TICKET.fullmatch(name))]


class Watch:
    """Tells whether the owner of the highest ticket is at work, from looking again and again."""

    def __init__(self, tickets: Tickets, clock: Callable[[], float]) -> None:
        self._tickets = tickets
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def busy(self, number: int) -> str | None:
        """Who holds this ticket, or None if it is free or left over."""
        found = self._tickets.read(number)
        if found is None:
            return "another run"
        text, renewed = found
        if text == FREE:
            return None
        owner = Owner.load(text)
        alive = owner.alive() if owner else None
        if alive is None:
            alive = not self._is_stale(number, renewed)
        return str(owner or "another run") if alive else None

    def _is_stale(self, number: int, renewed: int) -> bool:
        """By our own clock: those of other hosts and of the file server may go differently."""
        if self._seen != (number, renewed):
            self._seen, self._since = (number, renewed), self._clock()
        return self._clock() - self._since >= STALE


class Claim:
    """The right to write, for as long as nobody took it away."""

    def __init__(self, tickets: Tickets, number: int, what: str) -> None:
        self._tickets = tickets
        self._number = number
        self._what = what

    def check(self) -> None:
        """Raise if another run took over, which happens to a run that was frozen for longer than STALE."""
        if self._tickets.highest() != self._number:
            message = (
                f"Writing {self._what} failed: this run stood still for so long that another one took over. "
                "Nothing of it was published; run again when the other one has ended."
            )
            raise HubError(kind="lock", message=message)

    def announce(self, needed: int) -> None:
        """Say how many bytes this run is going to write, for others that look at the free space."""
        text = json.dumps(asdict(Owner.me()) | {"bytes": needed})
        self._tickets.path(self._number).write_text(text, "utf-8")

    def announced_by_others(self) -> dict[str, int]:
        """The folders beside ours whose tickets are held by runs at work, and the bytes they announced."""
        mine = self._tickets.read(self._number)
        now = mine[1] if mine else 0
        others = [one for one in self._tickets.folder.parent.iterdir() if one.is_dir() and one != self._tickets.folder]
        found = {folder.name: _announced(Tickets(folder), now) for folder in others}
        return {name: count for name, count in found.items() if count}

    def beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._tickets.path(self._number))

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._tickets.path(self._number).write_text(FREE, "utf-8")


@contextlib.contextmanager
def claim(
    folder: Path,
    *,
    what: str,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Claim]:
    """Hold the highest ticket of `folder`; wait for it up to `timeout` seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    tickets = Tickets(folder)
    mine = Claim(tickets, _take(tickets, what, timeout, clock, sleep), what)
    stop = threading.Event()
    beating = threading.Thread(target=mine.beat, args=(stop,), daemon=True)
    beating.start()
    try:
        yield mine
    finally:
        stop.set()
        beating.join()
        mine.release()


def _take(
    tickets: Tickets, what: str, timeout: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> int:
    watch = Watch(tickets, clock)
    me = Owner.me().dump()
    taken = [0]

    def look() -> Seen[str]:
        number = tickets.highest()
        holder = watch.busy(number) if number else None
        if holder is None and tickets.take(number + 1, me):
            taken[0] = number + 1
            return Seen(done=True, value="")
        return Seen(done=False, value=holder or "another run")

    try:
        Waiter(look, timeout=timeout, interval=LOOK_INTERVAL, clock=clock, sleep=sleep).wait()
    except WaitTimeoutError as error:
        message = (
            f"Locking {what} failed: {error.last} has been writing it for more than {timeout:g} seconds. "
            "Wait for that run to end, or raise lock_timeout."
        )
        raise HubError(kind="lock", message=message) from error
    return taken[0]


def _announced(tickets: Tickets, now: int) -> int:
    """`now` is the time of our own ticket, so that of the same file server's clock."""
    found = tickets.read(tickets.highest())
    owner = Owner.load(found[0]) if found else None
    if found is None or owner is None:
        return 0
    alive = owner.alive()
    if alive is None:
        alive = now - found[1] < STALE * 10**9
    return int(json.loads(found[0]).get("bytes", 0)) if alive else 0


def _place() -> str:
    """Empty where it cannot be told; then only the ticket's time counts."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When the process started, in ticks since boot; None if it is gone or only waits for its parent to notice."""
    try:
        fields: t.Sequence[str] = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
