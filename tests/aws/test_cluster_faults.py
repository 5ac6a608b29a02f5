"""Calls of a run go wrong. Whatever it was, the next runs end at the right count, then change nothing.

An account for each call and fault would take hours, so one lives through all of them: each call that no run has made
before meets the fault, the run fails there or gets over it, and the same command goes on. At the end there must be
exactly what one run without faults makes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.settings import CHECKOUT

from .account import Account, TimedPlay
from .clusters import INVENTORY, NO_HOSTS, Clusters, make_key
from .faults import Fault
from .proxy import Proxy
from .test_cluster import NODES, ok, unchanged

# So often that no program's own retries get past it: the run fails.
FOR_GOOD = 1000
HURRY = {
    "PYTHONPATH": f"{CHECKOUT / 'tests/aws/hurry'}:{os.environ.get('PYTHONPATH', '')}",
    "AWS_MAX_ATTEMPTS": "2",
    "ANSIBLE_PIPELINING": "1",
}
ROLE = "tests/aws/role.yml"
# What a run says that met it and did not get over it.
_CLOSED = ("Connection was closed before we received a valid response",)
SAID = {
    "lose_answer": _CLOSED,
    "cut": _CLOSED,
    "throttle": ("RequestLimitExceeded", "Throttling"),
    "error500": ("InternalError", "InternalFailure", "ServiceFailure"),
}


@pytest.fixture
def clusters(account: Account, tmp_path: Path) -> Clusters:
    return Clusters(account, make_key(tmp_path))


@dataclass(frozen=True)
class Right:
    """What one run without faults makes, and of which calls it consists."""

    remains: dict[str, int]
    writes: Counter[str]
    reads: Counter[str]


_RIGHT: list[Right] = []


def right(clusters: Clusters, proxy: Proxy) -> Right:
    """Made once."""
    if not _RIGHT:
        proxy.arm()
        ok(clusters.run(ROLE, proxy.url, HURRY, NO_HOSTS))
        calls = Counter(call.action for call in proxy.calls if call.writes)
        reads = Counter(call.action for call in proxy.calls if not call.writes)
        _RIGHT.append(Right(clusters.account.remains(), calls, reads))
        print(f"{calls.total()} calls write: {dict(calls)}; {len(reads)} actions read: {dict(reads)}", flush=True)
        clusters.account.emulator.reset()
    return _RIGHT[0]


# Modules of amazon.aws that say what failed, and not why.
_RETICENT = re.compile(r"(?:Failed|Unable) to [a-z]+ [a-zA-Z]")


def is_clear(done: TimedPlay, kind: str) -> None:
    """It says in words what it met, and of nothing else."""
    assert any(words in done.words for words in SAID[kind]) or _RETICENT.search(done.words), done.output[-4000:]
    # ec2_ami_info of amazon.aws 10.1.2 cannot put its own error into words: its text asks for itself without end.
    assert "Traceback" not in done.output or "AmiInfoFailure" in done.output, done.output[-4000:]


def through(
    clusters: Clusters, proxy: Proxy, fault: Fault, playbook: str, most: int, inventory: Path = NO_HOSTS, **more: str
) -> Counter[str]:
    """The same command until it ends well. The calls that met the fault."""
    struck: Counter[str] = Counter()
    for number in range(1, most + 1):
        done = clusters.run(playbook, proxy.url, HURRY, inventory, **more)
        met = [call.action for call in proxy.calls if call.fault]
        struck.update(dict.fromkeys(met, 1) if fault.times > 1 else met)
        print(f"run {number}: rc={done.rc} in {done.seconds:.0f} s, {fault.kind} at {sorted(set(met))}", flush=True)
        proxy.forget()
        proxy.next_run()
        if not done.rc:
            return struck
        is_clear(done, fault.kind)
    raise AssertionError(f"{most} runs were not enough; the last said {done.output[-3000:]}")


def lived_through(clusters: Clusters, proxy: Proxy, fault: Fault) -> tuple[Counter[str], Counter[str]]:
    """Made, found unchanged and destroyed, with the fault in each call. What met it in making, and in destroying."""
    expected = right(clusters, proxy)
    most = 2 * (expected.writes.total() + len(expected.reads))
    proxy.arm(fault)
    making = through(clusters, proxy, fault, ROLE, most)
    unchanged(clusters.make(environment=HURRY))
    assert sorted(clusters.ids()) == NODES
    assert clusters.account.remains() == expected.remains
    destroying = through(
        *(clusters, proxy, fault, "playbooks/destroy_infrastructure.yml", 100), aws_cluster_destroy="llmops"
    )
    unchanged(clusters.destroy(environment=HURRY))
    assert clusters.account.remains("llmops") == {}
    return making, destroying


WRITES = {
    "lose_answer": Fault("lose_answer", writes=True, each="call"),
    "throttle": Fault("throttle", writes=True, each="call", times=2),
    "error500": Fault("error500", writes=True, each="call", times=FOR_GOOD),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITES)
def test_a_fault_at_every_call_that_writes(clusters: Clusters, proxy: Proxy, kind: str) -> None:
    making, destroying = lived_through(clusters, proxy, WRITES[kind])
    print(f"{kind}: {making.total()} calls of making and {destroying.total()} of destroying met it", flush=True)
    assert set(making) >= set(right(clusters, proxy).writes)
    assert len(destroying) > 5


READS = {
    "throttle": Fault("throttle", reads=True, each="action", times=2),
    "error500": Fault("error500", reads=True, each="action", times=FOR_GOOD),
    "cut": Fault("cut", reads=True, each="action", times=FOR_GOOD),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READS)
def test_a_fault_at_every_action_that_reads(clusters: Clusters, proxy: Proxy, kind: str) -> None:
    making, destroying = lived_through(clusters, proxy, READS[kind])
    print(f"{kind}: {len(making)} actions of making and {len(destroying)} of destroying met it", flush=True)
    assert set(making) >= set(right(clusters, proxy).reads)
    # Of its own, those of making have met it before.
    assert destroying


@pytest.mark.parametrize(
    "kind", ["cut", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("throttle", "error500"))]
)
def test_a_plan_says_what_it_could_not_read(clusters: Clusters, proxy: Proxy, kind: str) -> None:
    proxy.arm(READS[kind])
    struck = through(clusters, proxy, READS[kind], "playbooks/plan_infrastructure.yml", 3, INVENTORY)
    assert set(struck) == {"DescribeAvailabilityZones", "DescribeInstances"}
    assert clusters.account.remains("llmops") == {}
