# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups that an inventory must have."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._inventory import inventory_problems

GOOD = {
    "all": ["c", "g1", "g2"],
    "ungrouped": [],
    "slurm_controller": ["c"],
    "slurm_compute": ["g1", "g2"],
    "vllm": ["c", "g1", "g2"],
}
NEXT = "Correct the groups of the inventory (inventory/static/hosts.yml is a template), or give another one with -i."
CATALOGUE = (
    "needed are all hosts of slurm_controller and slurm_compute: they read the model catalogue (group_vars/vllm.yml)."
)


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(GOOD, id="all there"),
        pytest.param({**GOOD, "slurm_compute": ["c"], "slurm_database": ["g1"]}, id="one host with two parts"),
        pytest.param({**GOOD, "slurm_database": []}, id="an empty group that may be empty"),
        pytest.param({**GOOD, "slurm_backup_controller": ["g1"]}, id="a backup controller"),
        pytest.param({**GOOD, "slurm_backup_controller": [], "slurm_elastic": ["g1"]}, id="no backup controller"),
    ],
)
def test_nothing_to_say(groups: dict[str, list[str]]) -> None:
    assert inventory_problems(groups) == []


def test_slurm_alone_needs_no_catalogue() -> None:
    assert inventory_problems({name: hosts for name, hosts in GOOD.items() if name != "vllm"}, False) == []


@pytest.mark.parametrize(
    ("groups", "messages"),
    [
        pytest.param(
            {"all": ["a"], "ungrouped": ["a"]},
            [
                "The group slurm_controller is missing; needed is exactly one host, the one that runs slurmctld.",
                "The group slurm_compute is missing; needed is at least one host, those that run the models.",
                f"The group vllm is missing or empty; {CATALOGUE}",
                f"Groups found: none. {NEXT}",
            ],
            id="none of our groups",
        ),
        pytest.param(
            {**GOOD, "slurm_controller": ["c", "d"], "vllm": ["c", "d", "g1", "g2"]},
            [
                "The group slurm_controller has 2 hosts (c, d); allowed is exactly one host, the one that runs "
                "slurmctld.",
                f"Groups found: slurm_controller, slurm_compute, vllm. {NEXT}",
            ],
            id="two controllers",
        ),
        pytest.param(
            {**GOOD, "slurm_compute": []},
            [
                "The group slurm_compute is empty; needed is at least one host, those that run the models.",
                f"Groups found: slurm_controller, slurm_compute, vllm. {NEXT}",
            ],
            id="no compute host",
        ),
        pytest.param(
            {"slurm_controler": ["c"], "slurm_compute": ["g1"], "vllm": ["g1"]},
            [
                "The group slurm_controller is missing (is slurm_controler meant to be it?); needed is exactly one "
                "host, the one that runs slurmctld.",
                f"Groups found: slurm_controler, slurm_compute, vllm. {NEXT}",
            ],
            id="a slip of the pen",
        ),
        pytest.param(
            {**GOOD, "vllm": ["c", "g1"]},
            [
                f"The group vllm lacks g2; {CATALOGUE}",
                f"Groups found: slurm_controller, slurm_compute, vllm. {NEXT}",
            ],
            id="a host that reads no catalogue",
        ),
        pytest.param(
            {**GOOD, "slurm_database": ["c", "d"]},
            [
                "The group slurm_database has 2 hosts (c, d); allowed is at most one host, the one of the accounting "
                "database.",
                f"Groups found: slurm_controller, slurm_compute, vllm, slurm_database. {NEXT}",
            ],
            id="two databases",
        ),
        pytest.param(
            {**GOOD, "slurm_backup_controller": ["g1", "g2"]},
            [
                "The group slurm_backup_controller has 2 hosts (g1, g2); allowed is at most one host, the one that "
                "takes over from the controller.",
                f"Groups found: slurm_controller, slurm_compute, vllm, slurm_backup_controller. {NEXT}",
            ],
            id="two backup controllers",
        ),
        pytest.param(
            {**GOOD, "slurm_backup_controller": ["c"]},
            [
                "c is in slurm_controller and in slurm_backup_controller; the controller is backed up by another host.",
                f"Groups found: slurm_controller, slurm_compute, vllm, slurm_backup_controller. {NEXT}",
            ],
            id="a controller that backs up itself",
        ),
        pytest.param(
            {**GOOD, "slurm_backup_controller": ["d"], "slurm_elastic": ["g2"]},
            [
                "The groups slurm_backup_controller and slurm_elastic both have hosts; what starts and stops elastic "
                "nodes is on the controller alone, so after a takeover none would come or go.",
                "The group vllm lacks d; needed are all hosts of slurm_controller, slurm_compute and "
                "slurm_backup_controller: they read the model catalogue (group_vars/vllm.yml).",
                "Groups found: slurm_controller, slurm_compute, vllm, slurm_backup_controller, slurm_elastic. " + NEXT,
            ],
            id="a backup controller beside elastic nodes, without the catalogue",
        ),
    ],
)
def test_what_is_missing_is_said(groups: dict[str, list[str]], messages: list[str]) -> None:
    assert inventory_problems(groups) == messages


def test_many_hosts_are_not_all_listed() -> None:
    (message, _groups) = inventory_problems(
        {**GOOD, "slurm_controller": [f"c{number}" for number in range(7)], "vllm": []}
    )[:2]
    assert "has 7 hosts (c0, c1, c2, c3, c4 and 2 more)" in message
