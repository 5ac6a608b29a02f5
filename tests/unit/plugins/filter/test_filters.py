# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters are the functions, with errors Ansible understands, and every one is documented."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.filter.accounting import FilterModule as AccountingFilters
from ansible_collections.llmops.cluster.plugins.filter.aws import FilterModule as AwsFilters
from ansible_collections.llmops.cluster.plugins.filter.catalogue import FilterModule as CatalogueFilters
from ansible_collections.llmops.cluster.plugins.filter.nvidia import FilterModule as NvidiaFilters
from ansible_collections.llmops.cluster.plugins.filter.plan import FilterModule as PlanFilters
from ansible_collections.llmops.cluster.plugins.filter.slurm import FilterModule as SlurmFilters
from ansible_collections.llmops.cluster.plugins.filter.variables import FilterModule as VariableFilters
from ansible_collections.llmops.cluster.plugins.filter.versions import FilterModule as VersionFilters

FOLDER = Path(__file__).parents[4] / "plugins" / "filter"
MODULES = (
    AccountingFilters,
    AwsFilters,
    CatalogueFilters,
    NvidiaFilters,
    PlanFilters,
    SlurmFilters,
    VariableFilters,
    VersionFilters,
)
FILTERS = {name: found for module in MODULES for name, found in module().filters().items()}


def test_each_filter_has_its_page_and_each_page_its_filter() -> None:
    assert {path.stem for path in FOLDER.glob("*.yml")} == set(FILTERS)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_pages_describe_every_option(name: str) -> None:
    page = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    assert page["DOCUMENTATION"]["name"] == name
    assert all(option["type"] and option["description"] for option in page["DOCUMENTATION"]["options"].values())
    assert yaml.safe_load(page["EXAMPLES"])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        pytest.param(
            "catalogue_plan", ([{"name": "x"}],), "vllm_models\\[0\\] \\(x\\): model_id is missing", id="catalogue"
        ),
        pytest.param("sh_word", ("a\0",), "NUL byte", id="word"),
        pytest.param("hostlist", (["a b"],), "'a b' is no host name", id="hostlist"),
        pytest.param(
            "slurm_upgrade_problems",
            ({"ctl": "26.05.4"}, "26.05", [], ["ctl"]),
            "^Comparing the versions of Slurm failed: '26.05' is no version of Slurm: one looks like 26.05.4 or "
            "24.11.5-4\\+deb13u1",
            id="versions",
        ),
        pytest.param("slurm_ini", ({"A": "#"},), "'#' cannot be written", id="ini"),
        pytest.param(
            "nvidia_dcgm_diag_faults", ("odd",), "dcgmi diag printed failed: no results in 'odd'", id="nvidia"
        ),
    ],
)
def test_errors_are_those_of_a_filter(name: str, arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        FILTERS[name](*arguments)
