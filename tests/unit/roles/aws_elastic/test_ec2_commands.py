# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""start, stop and list with an EC2 in memory: what the emulator cannot show."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.model import (
    CAPACITY,
    PERMANENT,
    THROTTLED,
    DriverError,
)

from tests.unit.roles.aws_elastic.ec2_fakes import Clock, FakeEc2, driver, instance, wish

NONE_LEFT = DriverError(CAPACITY, "InsufficientInstanceCapacity: RunInstances: none", True)


def test_an_instance_that_is_still_stopping_is_waited_for() -> None:
    ec2, clock = FakeEc2(instance("i-1", "gpu1", "stopping"), instance("i-2", "gpu2", "stopped")), Clock()
    ec2.changes = [{"i-1": "stopping"}, {"i-1": "stopped"}]

    told = driver(ec2, wish("gpu1"), wish("gpu2"), clock=clock).start()["nodes"]

    assert {name: one["result"] for name, one in told.items()} == {"gpu1": "ok", "gpu2": "ok"}
    assert clock.slept == [5.0, 5.0]
    # The other one did not wait for it.
    assert ec2.calls == [("start", ["i-2"]), ("start", ["i-1"])]


def test_one_that_does_not_stop_in_time_is_asked_for_again() -> None:
    clock = Clock()
    told = driver(FakeEc2(instance("i-1", "gpu1", "stopping")), wish("gpu1"), clock=clock, seconds=30).start()

    assert told["nodes"]["gpu1"] == {"result": "throttled", "message": "i-1 is still stopping", "instance": "i-1"}
    assert clock.now < 30


def test_an_instance_that_ended_while_it_stopped_is_replaced() -> None:
    ec2 = FakeEc2(instance("i-1", "gpu1", "stopping"))
    ec2.changes = [{"i-1": "terminated"}]

    told = driver(ec2, wish("gpu1")).start()["nodes"]["gpu1"]

    assert (told["result"], told["instance"]) == ("ok", "i-2")


def test_a_launch_that_failed_after_it_was_accepted_goes_on_elsewhere() -> None:
    """EC2 may say yes and terminate the instance for want of capacity; the answer of that start was lost."""
    ec2 = FakeEc2()
    made = driver(ec2, wish("gpu1", types=["a", "b"])).start()["nodes"]["gpu1"]["instance"]
    ec2.known[made] = replace(ec2.known[made], state="terminated", reason="Server.InsufficientInstanceCapacity")
    told = driver(ec2, wish("gpu1", types=["a", "b"])).start()["nodes"]["gpu1"]

    assert told["result"] == "ok"
    assert [arguments["InstanceType"] for _, arguments in ec2.calls] == ["a", "b"]


def test_no_capacity_anywhere_says_where() -> None:
    ec2 = FakeEc2()
    ec2.refusals = {("launch", f"{kind} s1"): NONE_LEFT for kind in ("a", "b")}

    told = driver(ec2, wish("gpu1", types=["a", "b"], subnets=["s1"])).start()["nodes"]["gpu1"]

    assert told == {
        "result": "capacity",
        "message": "a in s1: InsufficientInstanceCapacity: RunInstances: none; "
        "b in s1: InsufficientInstanceCapacity: RunInstances: none",
    }


def test_throttling_in_a_place_leaves_the_others_alone() -> None:
    ec2 = FakeEc2()
    ec2.refusals = {("launch", "a s1"): DriverError(THROTTLED, "RequestLimitExceeded")}

    told = driver(ec2, wish("gpu1", types=["a", "b"], subnets=["s1"])).start()["nodes"]["gpu1"]

    assert told == {"result": "throttled", "message": "a in s1: RequestLimitExceeded"}
    assert len(ec2.calls) == 1


def test_a_template_that_is_not_there_fails_its_nodes_alone() -> None:
    ec2 = FakeEc2()
    ec2.refusals = {("template", "lab-none"): DriverError(PERMANENT, "InvalidLaunchTemplateName.NotFoundException")}

    told = driver(ec2, wish("gpu1"), wish("gpu2", launch_template="lab-none")).start()["nodes"]

    assert told["gpu1"]["result"] == "ok"
    assert told["gpu2"] == {
        "result": "permanent",
        "message": "launch template lab-none: InvalidLaunchTemplateName.NotFoundException",
    }


def test_no_time_is_left_to_launch() -> None:
    told = driver(FakeEc2(), wish("gpu1"), seconds=0).start()["nodes"]["gpu1"]

    assert told["result"] in ("ok", "throttled")


def test_one_that_cannot_be_stopped_does_not_keep_the_others_on() -> None:
    ec2 = FakeEc2(instance("i-1", "gpu1"), instance("i-2", "gpu2"), instance("i-3", "gpu3"))
    ec2.refusals = {
        ("stop", "i-2"): DriverError(THROTTLED, "IncorrectInstanceState: StopInstances: pending"),
        ("stop", "i-3"): DriverError(THROTTLED, "gone", code="InvalidInstanceID.NotFound"),
    }

    told = driver(ec2, wish("gpu1"), wish("gpu2"), wish("gpu3"), wish("gpu4")).stop()["nodes"]

    assert told == {
        "gpu1": {"result": "ok"},
        "gpu2": {
            "result": "throttled",
            "message": "i-2 was not stopped: IncorrectInstanceState: StopInstances: pending",
            "instance": "i-2",
        },
        "gpu3": {"result": "ok"},
        "gpu4": {"result": "ok", "message": "nothing to stop"},
    }


def test_many_calls_are_no_cure_for_too_many() -> None:
    ec2 = FakeEc2(instance("i-1", "gpu1"), instance("i-2", "gpu2"))
    ec2.refusals = {("stop", "i-1"): DriverError(THROTTLED, "slower", code="RequestLimitExceeded")}

    told = driver(ec2, wish("gpu1"), wish("gpu2")).stop()["nodes"]

    assert {name: one["result"] for name, one in told.items()} == {"gpu1": "throttled", "gpu2": "throttled"}
    assert ec2.calls == [("stop", ["i-1", "i-2"])]


def test_a_list_has_all_that_is_not_gone() -> None:
    states = ["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]
    ec2 = FakeEc2(*(instance(f"i-{number}", "gpu1", state) for number, state in enumerate(states)))

    told = driver(ec2).tell()["instances"]

    assert [one["state"] for one in told] == ["starting", "running", "stopping", "stopped", "stopping"]
    assert told[1] == {
        **{"node": "gpu1", "instance": "i-1", "state": "running"},
        **{"address": "10.0.0.1", "started": 1},
    }
