# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands, in order: what a boot, and what a run of the playbook does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from . import decide
from .decide import Device, DiskError, Node, Plan
from .slurm import SlurmError

log = logging.getLogger("local_nvme")
# Between two questions to a controller that does not answer, as it boots too.
PAUSE = 5.0


class Disks(Protocol):
    folder: str

    def paths(self) -> list[str]: ...
    def known(self) -> Mapping[str, Device]: ...
    def make(self, paths: tuple[str, ...]) -> str: ...
    def assemble(self, paths: tuple[str, ...]) -> None: ...
    def format(self, device: str) -> None: ...
    def mount(self, device: str) -> None: ...


class Slurm(Protocol):
    @property
    def is_here(self) -> bool: ...
    def node(self) -> Node | None: ...
    def drain(self, reason: str) -> None: ...
    def resume(self) -> None: ...


class Store:
    """The folder of models on local disks.

    `stamp` is a file on the root disk: models were here. `passing` are beginnings of drains that their makers end.
    """

    def __init__(
        self,
        disks: Disks,
        slurm: Slurm,
        stamp: Path,
        passing: Sequence[str],
        patience: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._disks, self._slurm, self._stamp, self._passing = disks, slurm, stamp, passing
        self._patience, self._sleep, self._clock = patience, sleep, clock

    def look(self) -> Plan:
        return decide.plan(self._disks.paths(), self._disks.known(), self._disks.folder)

    def up(self) -> str:
        """Mount what there is, make what is gone; the node is drained before slurmd can take a job without models."""
        try:
            done = self._up()
        except DiskError as error:
            log.error("making %s of local disks failed: %s", self._disks.folder, error)
            self._keep_jobs_away(f"{decide.PREFIX}{error}")
            raise
        if done in (decide.MAKE, decide.FORMAT, decide.NONE):
            self._keep_jobs_away(decide.LOST)
        return done

    def _up(self) -> str:
        wanted = self.look()
        log.info("%s: %s %s", self._disks.folder, wanted.action, " ".join(wanted.devices))
        if wanted.action == decide.ASSEMBLE:
            self._disks.assemble(wanted.devices)
            wanted = self.look()
            if wanted.action == decide.ASSEMBLE:
                raise DiskError(f"no array came of {', '.join(wanted.devices)}")
        if wanted.action == decide.MAKE:
            device = self._disks.make(wanted.devices)
        elif wanted.devices:
            device = wanted.devices[0]
        if wanted.action in (decide.MAKE, decide.FORMAT):
            self._disks.format(device)
        if wanted.action in (decide.MAKE, decide.FORMAT, decide.MOUNT):
            self._disks.mount(device)
        return wanted.action

    def _keep_jobs_away(self, reason: str) -> None:
        """Where there were models. A controller that boots at the same time is waited for."""
        if not self._stamp.exists() or not self._slurm.is_here:
            return
        ends = self._clock() + self._patience
        while True:
            try:
                node = self._slurm.node()
                if node and decide.needs_drain(node, self._passing):
                    self._slurm.drain(reason)
                    log.info("drained: %s", reason)
                return
            except SlurmError as error:
                if self._clock() >= ends:
                    log.error("draining this node failed, and jobs will find no models: %s", error)
                    raise
                self._sleep(PAUSE)

    def ready(self) -> list[str]:
        """The models are there (again): remember it, and give back what we drained. What was changed."""
        changed = []
        local = self.look().action == decide.MOUNTED
        if local != self._stamp.exists():
            changed.append("stamp")
            if local:
                self._stamp.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                self._stamp.touch()
            else:
                self._stamp.unlink()
        node = self._slurm.node() if self._slurm.is_here else None
        if node and decide.is_ours(node):
            self._slurm.resume()
            changed.append("resumed")
        return changed
