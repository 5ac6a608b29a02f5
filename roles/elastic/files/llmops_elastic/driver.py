# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver: a program that starts, stops and lists instances. Its contract is in docs/elastic.md."""

from __future__ import annotations

import builtins
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import ElasticError
from .model import BROKEN, CAPACITY, OK, PERMANENT, THROTTLED, Instance, Outcome
from .settings import Settings

CONTRACT = 1
# Exit statuses for a call as a whole; 0 means that the answer tells of each node.
EXITS = {10: CAPACITY, 11: THROTTLED, 12: PERMANENT}
# Worth another try within one call of Slurm.
AGAIN = (THROTTLED, BROKEN)
LONGEST_PAUSE = 30.0
ALIVE = ("starting", "running")


class RefusalError(Exception):
    """The call as a whole came to nothing."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def parse_outcomes(answer: Any, asked: Sequence[str]) -> dict[str, Outcome]:
    """What became of each node that was asked for; a node without a word is one that nobody knows of."""
    told = answer.get("nodes") if isinstance(answer, dict) else None
    if not isinstance(told, dict):
        raise RefusalError(BROKEN, f"the answer has no dictionary 'nodes': {str(answer)[:200]}")
    return {name: _outcome(told.get(name)) for name in asked}


def _outcome(told: Any) -> Outcome:
    if not isinstance(told, dict) or told.get("result") not in (OK, *EXITS.values()):
        return Outcome(BROKEN, f"the driver said {told!r}")
    words = {key: str(told.get(key) or "") for key in ("message", "instance", "address", "hostname")}
    return Outcome(told["result"], **words)


def parse_instances(answer: Any) -> list[Instance]:
    """The instances of a list."""
    try:
        return [
            Instance(
                node=str(one["node"]),
                id=str(one["instance"]),
                alive=one["state"] in ALIVE,
                address=str(one.get("address") or ""),
                started=float(one.get("started") or 0),
            )
            for one in answer["instances"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusalError(BROKEN, f"the answer has no good list 'instances': {error!r}") from error


class Driver:
    """Calls the program, and again where that may help."""

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._sleep = sleep

    def start(self, tokens: Mapping[str, str]) -> dict[str, Outcome]:
        """Start the nodes (name -> token of this start). One that runs already is ok."""

        def wanted(name: str) -> dict[str, Any]:
            return {"name": name, "token": tokens[name], "options": self._settings.nodes.get(name, {})}

        return self._each("start", sorted(tokens), wanted)

    def stop(self, instances: Mapping[str, Sequence[str]]) -> dict[str, Outcome]:
        """Stop all instances of the nodes, or just the named ones. One that is gone already is ok."""

        def wanted(name: str) -> dict[str, Any]:
            return {"name": name, "instances": list(instances[name]), "options": self._settings.nodes.get(name, {})}

        return self._each("stop", sorted(instances), wanted)

    def list(self) -> builtins.list[Instance]:
        """Everything of this cluster that there is."""
        for pause in self._pauses():
            try:
                return parse_instances(self._call("list", {}))
            except RefusalError as refusal:
                if pause is None or refusal.kind not in AGAIN:
                    raise ElasticError(
                        f"listing instances with {self._settings.driver} failed: {refusal}."
                    ) from refusal
                self._sleep(pause)
        return []

    def _each(self, command: str, names: Sequence[str], wanted: Callable[[str], dict[str, Any]]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        left: set[str] = set(names)
        for pause in self._pauses():
            if not left:
                break
            asked = sorted(left)
            try:
                told = parse_outcomes(self._call(command, {"nodes": [wanted(name) for name in asked]}), asked)
            except RefusalError as refusal:
                told = {name: Outcome(refusal.kind, str(refusal)) for name in asked}
            outcomes.update(told)
            left = {name for name, outcome in told.items() if outcome.kind in AGAIN}
            if left and pause is not None:
                self._sleep(pause)
        return outcomes

    def _pauses(self) -> builtins.list[float | None]:
        """After each try the seconds until the next; None after the last."""
        tries = max(1, self._settings.driver_tries)
        pauses = [min(self._settings.driver_backoff * 2**number, LONGEST_PAUSE) for number in range(tries - 1)]
        return [*pauses, None]

    def _call(self, command: str, request: dict[str, Any]) -> Any:
        full = {
            "version": CONTRACT,
            "cluster": self._settings.cluster,
            "settings": self._settings.driver_settings,
            **request,
        }
        try:
            done = subprocess.run(
                [self._settings.driver, command],
                input=json.dumps(full),
                capture_output=True,
                text=True,
                timeout=self._settings.driver_timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RefusalError(BROKEN, f"no answer within {self._settings.driver_timeout:.0f} s") from None
        except OSError as error:
            raise RefusalError(PERMANENT, f"{self._settings.driver} cannot be run: {error}") from error
        if done.returncode:
            words = done.stderr.strip()[-500:] or f"exit status {done.returncode}"
            raise RefusalError(EXITS.get(done.returncode, BROKEN), words)
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            raise RefusalError(BROKEN, f"the answer is no JSON: {error}") from error
