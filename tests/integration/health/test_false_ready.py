"""10,000 probes of a fake engine in every state that is not ready: none is called ready. No lab is needed."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.tests.unit.fake_engine import fake_engine
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._vllm import not_ready

PROBES = 10_000


@pytest.mark.slow
def test_no_probe_says_ready_of_what_is_not() -> None:
    with fake_engine() as engine:
        tally = not_ready.probe_all(engine, count=PROBES, seed=1)
    print(f"{PROBES} probes: {len(tally.false_ready)} false ready, {dict(tally.states)}")
    assert tally.false_ready == []
    assert tally.missed_ready == []
    assert sum(tally.probes.values()) == PROBES
