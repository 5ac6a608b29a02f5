# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan says of disks that come with an instance."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.filter.aws import aws_bill, aws_plan
from ansible_collections.llmops.cluster.plugins.module_utils._aws import fleet
from ansible_collections.llmops.cluster.plugins.module_utils._aws.summary import summary
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._aws.aws_cases import PRICES, ZONES, nodes

WORDS = "Local NVMe for models: "
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one disk": ({}, ["g6.2xlarge has 1 x 450 GB"]),
    "several, and an alternative": (
        {"type": "g6.48xlarge", "alternatives": ["g5.48xlarge"]},
        ["g5.48xlarge has 2 x 3800 GB", "g6.48xlarge has 8 x 940 GB"],
    ),
    "elastic nodes keep their models on the root disk": ({"elastic": True}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_local_disks(name: str) -> None:
    more, expected = CASES[name]
    given = nodes(**more)
    plan = aws_plan(given, ZONES)
    lines = summary(given, plan, fleet.actions(given, plan["nodes"], []), aws_bill(given, PRICES))
    found = [line.removeprefix(WORDS).removesuffix(", empty after each stop.") for line in lines if WORDS in line]
    assert found == expected
