"""One call of the first run goes wrong. Whatever it was, the next runs end at the right count, then change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from .account import Account
from .clusters import Clusters, make_key
from .faults import Fault
from .proxy import Proxy
from .test_cluster import NODES, ok, unchanged

# So often that no program's own retries get past it: the run fails.
FOR_GOOD = 1000


@pytest.fixture
def clusters(account: Account, tmp_path: Path) -> Clusters:
    return Clusters(account, make_key(tmp_path))


def mended(clusters: Clusters, proxy: Proxy, fault: Fault) -> None:
    """The run with the fault may fail; the same command then ends well, and then changes nothing."""
    proxy.arm(fault)
    first = clusters.make(url=proxy.url, environment={"AWS_MAX_ATTEMPTS": "2"})
    assert proxy.struck, f"the run made no such call: {proxy.writes}"
    print(f"{fault}: the run {'ended well' if first.rc == 0 else 'failed'} in {first.seconds:.0f} s", flush=True)
    if first.rc:
        ok(clusters.make())
    unchanged(clusters.make())
    assert sorted(clusters.ids()) == NODES
    ok(clusters.destroy())
    assert clusters.account.remains("llmops") == {}


@pytest.mark.slow
@pytest.mark.parametrize("action", ["CreateVpc", "CreateInternetGateway", "AllocateAddress", "RunInstances"])
def test_a_lost_answer(clusters: Clusters, proxy: Proxy, action: str) -> None:
    mended(clusters, proxy, Fault("lose_answer", action=action))


@pytest.mark.slow
def test_a_fault_at_every_call_that_writes(clusters: Clusters, proxy: Proxy) -> None:
    proxy.arm(None)
    ok(clusters.make(url=proxy.url))
    writes = proxy.writes
    print(f"{len(writes)} calls write: {', '.join(writes)}", flush=True)
    failed = []
    for number, action in enumerate(writes, 1):
        for fault in (
            Fault("lose_answer", writes=True, at=number),
            Fault("throttle", writes=True, at=number, times=2),
            Fault("error500", writes=True, at=number, times=FOR_GOOD),
        ):
            clusters.account.emulator.reset()
            try:
                mended(clusters, proxy, fault)
            except AssertionError as error:
                failed.append(f"{fault.kind} at call {number} ({action}): {str(error)[-1500:]}")
                print(failed[-1], flush=True)
    assert not failed, "\n".join(failed)
