# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instance, in the first place that has room for it."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._aws.refusals import FULL, NOT_OFFERED
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen

# Another zone or size may do.
ELSEWHERE: t.Final = (*FULL, *NOT_OFFERED)
_DEAD: t.Final = ("shutting-down", "terminated")


class RefusedError(Exception):
    """EC2 said no."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Client(t.Protocol):
    """What is asked of EC2; see aws_instance.py for the one that asks."""

    def find(self) -> str: ...
    def run(self, place: t.Mapping[str, str]) -> str: ...
    def state(self, instance_id: str) -> tuple[str, str]: ...


class Outcome(t.NamedTuple):
    """The instance, where it is, and what the places before it said."""

    instance_id: str
    place: t.Mapping[str, str]
    refusals: list[str]
    changed: bool


def launch(
    client: Client,
    places: t.Sequence[t.Mapping[str, str]],
    check_mode: bool,
    wait: t.Callable[[t.Callable[[], Seen[str]]], str],
) -> Outcome:
    """The node's instance, found or launched, once EC2 has made it run. No instance where no place has room.

    `wait` waits for a predicate and returns its value, also when time ran out.
    """
    found = client.find()
    if found or check_mode:
        return Outcome(found, {}, [], not found)
    refusals = []
    for place in places:
        try:
            made = client.run(place)
        except RefusedError as error:
            if error.code not in ELSEWHERE:
                raise
            refusals.append(f"{place['type']} in {place['zone']}: {error.code}")
            continue
        # One that still starts when time is over is given to whoever waits for it to boot.
        ended = wait(functools.partial(_look, client, made))
        if not ended:
            return Outcome(made, place, refusals, True)
        # Accepted, and ended at once: EC2 found no room after all.
        refusals.append(f"{place['type']} in {place['zone']}: {ended}")
    return Outcome("", {}, refusals, False)


def _look(client: Client, instance_id: str) -> Seen[str]:
    """Whether its launch is over, and why it ended if it did."""
    state, reason = client.state(instance_id)
    return Seen(done=state != "pending", value=(reason or state) if state in _DEAD else "")
