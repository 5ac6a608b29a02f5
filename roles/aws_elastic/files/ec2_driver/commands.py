# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""start, stop and list: they look, let decide.py decide, and do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .classify import GONE, ended_at_once
from .decide import Plan, listing, places, plan_start, plan_stop, refused, run_arguments, started
from .ec2 import Cloud
from .model import CAPACITY, OK, THROTTLED, DriverError, Instance, Place, Request, Result, Template, Wish
from .together import Deadline, in_batches, side_by_side

# Seconds between two looks at instances that are still stopping.
LOOK = 5.0
# Seconds that remain for the answer.
MARGIN = 5.0


class Driver:
    """One call of the driver."""

    def __init__(
        self,
        ec2: Cloud,
        request: Request,
        deadline: Deadline,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ec2, self._request, self._deadline, self._sleep = ec2, request, deadline, sleep
        self._templates: dict[str, Template | DriverError] = {}
        # Where this call found no capacity: not asked for again for the next node.
        self._full: dict[tuple[str, str, str], DriverError] = {}
        # Instances that are gone again, by the token of their launch, with which EC2 would tell of them once more.
        self._gone: dict[str, Instance] = {}

    def tell(self) -> dict[str, Any]:
        """Of all that there is."""
        return {"instances": listing(self._ec2.instances())}

    # --- Start --------------------------------------------------------------------------------------------------------

    def start(self) -> dict[str, Any]:
        plan = plan_start(self._request.nodes, self._look())
        results = {**plan.done, **self._wake(plan), **self._launch_all(plan.launch)}
        while plan.wait and self._left() > LOOK:
            # EC2 takes a minute or more to stop an instance with a GPU.
            self._sleep(LOOK)
            waiting = [wish for wish in self._request.nodes if wish.name in plan.wait]
            plan = plan_start(waiting, self._look())
            results.update({**plan.done, **self._wake(plan), **self._launch_all(plan.launch)})
        for name, one in plan.wait.items():
            results[name] = Result(THROTTLED, f"{one.id} is still {one.state}", one.id)
        return _answer(self._request.nodes, results)

    def _look(self) -> list[Instance]:
        found = self._ec2.instances()
        self._gone.update({one.token: one for one in found if one.gone and one.token})
        return found

    def _left(self) -> float:
        return max(0.0, self._deadline.left() - MARGIN)

    def _wake(self, plan: Plan) -> dict[str, Result]:
        ids = [one.id for one in plan.wake.values()]
        errors = in_batches(self._ec2.start, ids, self._request.settings.workers, self._deadline)
        return {name: _woken(one, errors[one.id]) for name, one in plan.wake.items()}

    def _launch_all(self, wishes: Sequence[Wish]) -> dict[str, Result]:
        for name in sorted({wish.options.launch_template for wish in wishes} - set(self._templates)):
            try:
                self._templates[name] = self._ec2.template(name)
            except DriverError as error:
                self._templates[name] = error
        found = side_by_side(self._launch, wishes, self._request.settings.workers, self._left())
        return {wish.name: result for wish, result in found.items()}

    def _launch(self, wish: Wish) -> Result:
        """In the first place that has room."""
        template = self._templates[wish.options.launch_template]
        if isinstance(template, DriverError):
            return Result(template.kind, f"launch template {wish.options.launch_template}: {template}")
        refusals: list[tuple[Place, DriverError]] = []
        for place in places(wish.options):
            key = (template.name, wish.options.market, str(place))
            error = self._full.get(key)
            if error is None:
                try:
                    return started(self._launch_in(wish, template, place))
                except DriverError as caught:
                    error = caught
            if not error.elsewhere:
                # An instance may have been made whose answer was lost: trying another place would make a second one.
                return Result(error.kind, f"{place}: {error}")
            if error.kind == CAPACITY:
                self._full[key] = error
            refusals.append((place, error))
        return refused(refusals)

    def _launch_in(self, wish: Wish, template: Template, place: Place) -> Instance:
        arguments = run_arguments(self._request.cluster, wish, template, place)
        one = self._gone.get(arguments["ClientToken"]) or self._ec2.launch(arguments)
        if one.gone:
            kind = ended_at_once(one.reason)
            raise DriverError(kind, f"{one.id} was {one.state} at once: {one.reason or 'EC2 does not say why'}", True)
        return one

    # --- Stop ---------------------------------------------------------------------------------------------------------

    def stop(self) -> dict[str, Any]:
        ending = plan_stop(self._request.nodes, self._ec2.instances())
        results = {
            wish.name: Result(OK, "" if self._touched(wish.name, ending.stop, ending.terminate) else "nothing to stop")
            for wish in self._request.nodes
        }
        for call, what, ids in (
            (self._ec2.stop, "stopped", ending.stop),
            (self._ec2.terminate, "terminated", ending.terminate),
        ):
            errors = in_batches(call, sorted(ids), self._request.settings.workers, self._deadline)
            for one, error in sorted(errors.items()):
                if error and error.code != GONE:
                    results[ids[one]] = Result(error.kind, f"{one} was not {what}: {error}", one)
        return _answer(self._request.nodes, results)

    @staticmethod
    def _touched(name: str, *ids: dict[str, str]) -> bool:
        return any(name in some.values() for some in ids)


def _woken(one: Instance, error: DriverError | None) -> Result:
    if error:
        return Result(error.kind, f"{one.id} was not started: {error}", one.id)
    return started(one)


def _answer(wishes: Iterable[Wish], results: dict[str, Result]) -> dict[str, Any]:
    late = Result(THROTTLED, "EC2 did not answer in time")
    return {"nodes": {wish.name: results.get(wish.name, late).answer() for wish in wishes}}
