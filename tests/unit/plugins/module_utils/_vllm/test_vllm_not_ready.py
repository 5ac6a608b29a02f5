# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No situation that is not ready is ever called so: some hundred probes here, 10,000 in tests/integration/health."""

from __future__ import annotations

from ansible_collections.llmops.cluster.tests.unit.fake_engine import fake_engine
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._vllm import not_ready


def test_nothing_else_is_ready() -> None:
    with fake_engine() as engine:
        tally = not_ready.probe_all(engine, count=300, seed=20261121)
    assert tally.false_ready == []
    assert tally.missed_ready == []
    assert set(tally.probes) == set(not_ready.SITUATIONS)
