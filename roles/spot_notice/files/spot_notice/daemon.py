# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks every few seconds, and acts when there is a notice.

It remembers little and asks Slurm each time, so that it may be killed and started again at any moment: no job is put
back twice, and one that just was waits as long as Slurm by itself lets it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from .decide import Job, Node, Notice, clock, due, needs_drain, parse_notice, reason, some
from .metadata import MetadataError
from .slurm import SlurmError

ACTION = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
log = logging.getLogger("spot-notice")


class Service(Protocol):
    def get(self, path: str) -> str | None: ...


class Controller(Protocol):
    def node(self) -> Node: ...

    def drain(self, reason: str) -> None: ...

    def jobs(self) -> list[Job]: ...

    def requeue(self, job: str) -> None: ...

    def state(self, job: str) -> str: ...

    def start_now(self, job: str) -> None: ...

    def warn(self, job: str) -> None: ...


class Daemon:
    """One node."""

    def __init__(
        self, service: Service, slurm: Controller, warning: float, now: Callable[[], float] = time.time
    ) -> None:
        self._service, self._slurm, self._warning, self._now = service, slurm, warning, now
        self._notice: Notice | None = None
        # What was said last of each matter, which is said again only when it changed.
        self._said: dict[str, str] = {}
        self._warned: set[str] = set()
        # Jobs on their way into the queue.
        self._moving: set[str] = set()
        self._deaf = False

    def turn(self) -> None:
        """One look, and what follows."""
        try:
            self._look()
            self._heard("")
        except MetadataError as error:
            self._heard(str(error))
        except ValueError as error:
            self._say(logging.ERROR, "notice", str(error))
        if self._notice:
            try:
                self._act(self._notice)
            except SlurmError as error:
                self._say(logging.ERROR, "slurm", f"{error}; tried again")

    def _look(self) -> None:
        text = self._service.get(ACTION)
        notice = parse_notice(text) if text else None
        if notice and notice != self._notice:
            log.warning("EC2 gives notice: %s at %s", notice.action, clock(notice.at))
        if self._notice and not notice:
            log.warning("EC2 took its notice back. The node stays drained until an admin resumes it")
        self._notice = notice
        if not notice:
            advice = self._service.get(REBALANCE)
            self._say(logging.INFO, "rebalance", f"EC2 expects to take this instance back: {advice}" if advice else "")

    def _act(self, notice: Notice) -> None:
        wanted = reason(notice)
        # First of all: a job that is put back into the queue must not start here again.
        if needs_drain(self._slurm.node(), wanted):
            self._slurm.drain(wanted)
            log.warning("drained this node: %s", wanted)
        jobs = self._slurm.jobs()
        for job in jobs:
            if job.moves:
                self._requeue(job)
        for name in sorted(self._moving):
            self._hurry(name)
        self._tell([job for job in jobs if not job.moves], notice)

    def _requeue(self, job: Job) -> None:
        try:
            self._slurm.requeue(job.id)
            log.warning("job %s goes back into the queue", job.id)
            if job.alone:
                self._moving.add(job.id)
        except SlurmError as error:
            # One may have ended, and the others must not wait for it.
            self._say(logging.ERROR, f"job {job.id}", str(error))

    def _hurry(self, job: str) -> None:
        """Slurm lets a job that was put back wait for two minutes (cred_expire of AuthInfo), for the nodes it was on
        refuse it so long. None of them is asked again where this is the only one."""
        try:
            state = self._slurm.state(job)
            if state == "PENDING":
                self._slurm.start_now(job)
                log.warning("job %s may start elsewhere at once", job)
            if state != "COMPLETING":
                self._moving.discard(job)
        except SlurmError as error:
            self._moving.discard(job)
            self._say(logging.ERROR, f"job {job}", str(error))

    @property
    def busy(self) -> bool:
        """Something is about to happen."""
        return bool(self._moving)

    def _tell(self, jobs: list[Job], notice: Notice) -> None:
        """Jobs that Slurm does not start again get the time that there is, and a warning before it ends."""
        until = clock(notice.at - self._warning)
        words = f"not put back into the queue, told to end at {until}: job {some(jobs)}" if jobs else ""
        self._say(logging.WARNING, "staying", words)
        for job in jobs:
            if due(notice, self._now(), self._warning) and job.id not in self._warned:
                self._slurm.warn(job.id)
                self._warned.add(job.id)
                log.warning("job %s is told to end (SIGTERM)", job.id)

    def _heard(self, fault: str) -> None:
        """Of each time that the service does not answer one line, and one when it does again."""
        if fault and not self._deaf:
            log.warning("%s. No notice would be seen; tried again all the time", fault)
        elif self._deaf and not fault:
            log.info("the metadata service answers again")
        self._deaf = bool(fault)

    def _say(self, level: int, matter: str, words: str) -> None:
        if words and self._said.get(matter) != words:
            log.log(level, "%s", words)
        if words:
            self._said[matter] = words


def run(daemon: Daemon, interval: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """For ever."""
    while True:
        daemon.turn()
        sleep(min(interval, 1.0) if daemon.busy else interval)
