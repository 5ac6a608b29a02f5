# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One function for each way this program is called: they ask, let decide and sweep decide, and do."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import decide
from .driver import Driver
from .errors import ElasticError
from .model import BROKEN, MARK, Job, Memory, Node, Outcome
from .parse import parse_jobs
from .settings import Settings
from .slurm import Slurm
from .state import Store
from .sweep import plan, waiting

log = logging.getLogger("llmops-elastic")


@dataclass
class Elastic:
    """The parts that every command needs."""

    settings: Settings
    store: Store
    slurm: Slurm
    driver: Driver
    clock: Callable[[], float] = time.time

    # --- Called by Slurm ----------------------------------------------------------------------------------------------

    def resume(self, hosts: str, jobs_text: str | None = None) -> None:
        """ResumeProgram: start nodes."""
        names = self._ours(self.slurm.expand(hosts), "started")
        jobs = self._jobs(jobs_text)
        log.info("resume %s for jobs %s", hosts, ", ".join(str(job.id) for job in jobs) or "unknown")
        with self.store.locked():
            memory = self.store.read()
            nodes = self.slurm.nodes()
            decide.observe(memory, nodes)
            self._start(memory, names, jobs, nodes)

    def suspend(self, hosts: str) -> None:
        """SuspendProgram: stop nodes."""
        names = self._ours(self.slurm.expand(hosts), "stopped")
        with self.store.locked():
            memory, now = self.store.read(), self.clock()
            held = [name for name in names if memory.held(name, now)]
            if held:
                log.info("suspend: %s left running, a playbook is at work on them", ",".join(held))
            names = [name for name in names if name not in held]
            if not names:
                return
            log.info("suspend %s", ",".join(names))
            for name in names:
                memory.nodes.pop(name, None)
            self.store.write(memory)
            self._stop({name: [] for name in names})

    def fail(self, hosts: str) -> None:
        """ResumeFailProgram: nodes that did not come up within ResumeTimeout."""
        names = self._ours(self.slurm.expand(hosts), "given up")
        log.warning("fail %s", hosts)
        with self.store.locked():
            memory = self.store.read()
            nodes = self.slurm.nodes()
            decide.observe(memory, nodes)
            # One that failed at its start was counted then.
            new = [name for name in names if not memory.record(name, decide.PAUSED)]
            outcome = Outcome(BROKEN, "started, but did not come up within ResumeTimeout")
            self._stop({name: [] for name in names})
            self._give_up(memory, dict.fromkeys(new, outcome), nodes)

    # --- Called by a timer --------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Find orphans and stuck nodes and mend them."""
        with self.store.locked():
            memory, now = self.store.read(), self.clock()
            instances = self.driver.list()
            nodes = self.slurm.nodes()
            came = decide.observe(memory, nodes)
            if came:
                log.info("up: %s", ",".join(came))
            memory.waiting = waiting(memory, nodes, self.settings.nodes, now)
            made = plan(memory, self.settings, nodes, instances, now)
            for name, why in sorted(made.why.items()):
                log.warning("sweep: %s: %s", name, why)
            memory.holds = {name: until for name, until in memory.holds.items() if until > now}
            for name in list(memory.nodes):
                gone = name not in nodes or (name in made.stop and nodes[name].powered_down)
                if gone and memory.record(name, decide.STARTING):
                    del memory.nodes[name]
            self.store.write(memory)
            self._stop(made.stop)
            for reason, names in _by_reason(made.drain).items():
                self.slurm.drain(names, reason)
            if made.undrain:
                self.slurm.undrain(made.undrain)
            if made.power_down:
                self.slurm.power_down(made.power_down)
                for name in made.power_down:
                    memory.nodes.pop(name, None)
                self.store.write(memory)
            if made.start:
                self._start(memory, made.start, [], nodes)

    # --- Called by people and playbooks -------------------------------------------------------------------------------

    def unprotect(self, partition: str) -> str:
        """Let the nodes of a partition be started again; the row of failures begins anew."""
        with self.store.locked():
            memory = self.store.read()
            known = partition in memory.protected
            memory.protected.pop(partition, None)
            memory.tallies.pop(partition, None)
            self.store.write(memory)
        self.sweep()
        return f"{partition}: its nodes are started again." if known else f"{partition} was not protected."

    def away(self, hold: float) -> dict[str, Any]:
        """Which elastic nodes do not run now. Those that do are kept running for `hold` seconds."""
        with self.store.locked():
            memory, now = self.store.read(), self.clock()
            alive = {one.node for one in self.driver.list() if one.alive}
            if hold:
                memory.holds = dict.fromkeys(sorted(alive & set(self.settings.nodes)), now + hold)
                self.store.write(memory)
        return {"away": sorted(set(self.settings.nodes) - alive)}

    def release(self) -> None:
        """End all holds."""
        with self.store.locked():
            memory = self.store.read()
            if memory.holds:
                memory.holds = {}
                self.store.write(memory)

    # --- Shared -------------------------------------------------------------------------------------------------------

    def _ours(self, names: Sequence[str], what: str) -> list[str]:
        strangers = [name for name in names if name not in self.settings.nodes]
        if strangers:
            log.warning("%s: not among the elastic nodes of the settings, not %s", ",".join(strangers), what)
        return [name for name in names if name in self.settings.nodes]

    def _jobs(self, text: str | None) -> list[Job]:
        """Without the list (an admin's power_up, a Slurm without JSON) each node stands for itself."""
        if not text:
            return []
        try:
            return parse_jobs(text, self.slurm.expand)
        except ElasticError as error:
            log.error("%s Nodes are started one by one.", error)
            return []

    def _start(self, memory: Memory, names: Sequence[str], jobs: Sequence[Job], nodes: Mapping[str, Node]) -> None:
        if not names:
            self.store.write(memory)
            return
        old = decide.stale(memory, names, self.driver.list())
        tokens = decide.intend(memory, names, self.clock())
        self.store.write(memory)
        if old:
            log.warning("resume: %s run already; stopped first, for Slurm waits for a boot", ",".join(sorted(old)))
            self._stop(old)
        verdict = decide.judge(self.driver.start(tokens), jobs)
        self._stop({name: [] for name in [*verdict.failed, *verdict.companions]})
        for name in verdict.started:
            memory.nodes[name].accepted = True
        self.store.write(memory)
        where = decide.addresses(verdict.started, nodes)
        if where:
            self.slurm.set_addresses(where)
        self._give_up(memory, verdict.failed, nodes)
        self._let_go(memory, verdict.companions)

    def _give_up(self, memory: Memory, failed: Mapping[str, Outcome], nodes: Mapping[str, Node]) -> None:
        """Take failed nodes out of service; Slurm puts their jobs back into the queue."""
        now = self.clock()
        newly = decide.count(memory, self.settings, failed, nodes, now)
        reasons = decide.pause(memory, self.settings, failed, now)
        self.store.write(memory)
        for reason, names in _by_reason(reasons).items():
            log.error("%s: %s", ",".join(names), reason)
            self.slurm.down(names, reason)
        for partition in newly:
            log.critical("partition %s is protected: %s", partition, memory.protected[partition].message)
        off = [name for name in self.settings.nodes if newly and name in nodes and nodes[name].waiting]
        reasons = {name: decide.protection(memory, nodes[name]) for name in off if name not in failed}
        for reason, names in _by_reason({name: reason for name, reason in reasons.items() if reason}).items():
            self.slurm.drain(names, reason)

    def _let_go(self, memory: Memory, companions: Mapping[str, int]) -> None:
        reasons = {name: f"{MARK} job {job} did not get all of its nodes" for name, job in companions.items()}
        for reason, names in _by_reason(reasons).items():
            log.warning("%s: stopped again; %s", ",".join(names), reason)
            self.slurm.down(names, reason)
        for name in companions:
            memory.nodes.pop(name, None)
        self.store.write(memory)
        if companions:
            self.slurm.power_down(sorted(companions))

    def _stop(self, instances: Mapping[str, Sequence[str]]) -> None:
        if not instances:
            return
        for name, outcome in sorted(self.driver.stop(instances).items()):
            if not outcome.ok:
                log.error(
                    "%s: stopping failed: %s: %s. The next sweep tries again.", name, outcome.kind, outcome.message
                )


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by their reason: one call of scontrol tells several nodes."""
    found: dict[str, list[str]] = {}
    for name, reason in sorted(reasons.items()):
        found.setdefault(reason, []).append(name)
    return found


def resume_file() -> str | None:
    """The text of SLURM_RESUME_FILE: read at once, for it is gone when slurmctld stops."""
    path = os.environ.get("SLURM_RESUME_FILE")
    if not path:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
        json.loads(text)
        return text
    except (OSError, ValueError) as error:
        log.error("reading SLURM_RESUME_FILE failed: %s. Nodes are started one by one.", error)
        return None
