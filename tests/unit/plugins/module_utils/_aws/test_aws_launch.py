"""An instance is launched once, in the first place that has room."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws.launch import Outcome, RefusedError, launch
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen

PLACES = [{"template": f"demo-gpu-{zone}", "type": "g6.2xlarge", "zone": zone} for zone in ("a", "b")]


class FakeEc2:
    """Places that refuse with a code, and states that an instance goes through."""

    def __init__(self, refuse: Mapping[str, str] | None = None, states: list[tuple[str, str]] | None = None) -> None:
        self.refuse = refuse or {}
        self.states = states or []
        self.there = ""
        self.asked: list[str] = []

    def find(self) -> str:
        return self.there

    def run(self, place: Mapping[str, str]) -> str:
        self.asked.append(place["zone"])
        if code := self.refuse.get(place["zone"]):
            raise RefusedError(code, f"{code}: no")
        self.there = f"i-{place['zone']}"
        return self.there

    def state(self, instance_id: str) -> tuple[str, str]:
        return self.states.pop(0) if self.states else ("running", "")


def run(ec2: FakeEc2, check_mode: bool = False) -> Outcome:
    return launch(ec2, PLACES, check_mode, looks)


def looks(predicate: Callable[[], Seen[str]]) -> str:
    """Five at most, without a pause."""
    seen = [predicate()]
    while not seen[-1].done and len(seen) < 5:
        seen.append(predicate())
    return seen[-1].value


def test_once() -> None:
    ec2 = FakeEc2(states=[("pending", ""), ("running", "")])
    assert run(ec2, check_mode=True) == Outcome("", {}, [], True)
    assert run(ec2) == Outcome("i-a", PLACES[0], [], True)
    assert run(ec2) == Outcome("i-a", {}, [], False)
    assert run(ec2, check_mode=True) == Outcome("i-a", {}, [], False)
    assert ec2.asked == ["a"]


def test_the_next_place_where_one_is_full() -> None:
    made = run(FakeEc2({"a": "InsufficientInstanceCapacity"}))
    assert (made.instance_id, made.refusals) == ("i-b", ["g6.2xlarge in a: InsufficientInstanceCapacity"])


def test_no_place_at_all_is_no_failure_of_its_own() -> None:
    made = run(FakeEc2({"a": "VcpuLimitExceeded", "b": "Unsupported"}))
    assert (made.instance_id, made.changed, len(made.refusals)) == ("", False, 2)


def test_one_that_ended_at_once_found_no_room_either() -> None:
    made = run(FakeEc2(states=[("pending", ""), ("terminated", "Server.InsufficientInstanceCapacity")]))
    assert (made.instance_id, made.refusals) == ("i-b", ["g6.2xlarge in a: Server.InsufficientInstanceCapacity"])


def test_another_fault_is_one() -> None:
    with pytest.raises(RefusedError, match="UnauthorizedOperation"):
        run(FakeEc2({"a": "UnauthorizedOperation"}))


def test_one_that_takes_long_is_kept() -> None:
    assert run(FakeEc2(states=[("pending", "")] * 9)).instance_id == "i-a"
