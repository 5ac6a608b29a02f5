# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that check an inventory: its groups, and its variables against the roles' argument specifications."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.llmops.cluster.plugins.module_utils._inventory import inventory_problems
from ansible_collections.llmops.cluster.plugins.module_utils._node_health import NAMES
from ansible_collections.llmops.cluster.plugins.module_utils._node_health import node_health_problems as problems_of
from ansible_collections.llmops.cluster.plugins.module_utils._variables import unknown_variables, wrong_types

_ABSENT: t.Final = object()


def role_options(roles: list[str], folder: str) -> dict[str, dict[str, t.Any]]:
    """Options of each role's main entry point, from its argument specification."""
    options = {}
    for role in roles:
        path = Path(folder) / role / "meta/argument_specs.yml"
        try:
            # By libyaml where it is there, which takes a tenth of the time.
            options[role] = yaml_load(path.read_text())["argument_specs"]["main"]["options"]
        except (OSError, yaml.YAMLError, KeyError) as error:
            raise AnsibleFilterError(f"Reading the options of the role {role} from {path} failed: {error}") from error
    return options


def _given(variables: Mapping[str, t.Any], names: Iterable[str]) -> dict[str, t.Any]:
    """The values that stand in the inventory. One that leans on a role's default has none before that role runs."""
    values = {}
    # Few of the names are given: looking for each of the others would take most of the time.
    for name in set(variables).intersection(names):
        try:
            value = variables.get(name, _ABSENT)
        except AnsibleError:
            continue
        # ansible-core 2.18 hands out such a value as its template.
        if value is not _ABSENT and not (isinstance(value, str) and "{{" in value):
            values[name] = value
    return values


def type_problems(
    hostvars: Mapping[str, Mapping[str, t.Any]], hosts: Iterable[str], specs: Mapping[str, Mapping[str, t.Any]]
) -> list[str]:
    """A message for each variable of these hosts that holds what its role cannot use."""
    options = {name: option for spec in specs.values() for name, option in spec.items()}
    return wrong_types({host: _given(hostvars[host], options) for host in hosts}, options)


def node_health_problems(hostvars: Mapping[str, Mapping[str, t.Any]], hosts: Iterable[str]) -> list[str]:
    """A message for each variable of these hosts that the health check of nodes cannot use."""
    return problems_of({host: _given(hostvars[host], NAMES) for host in hosts if host in hostvars})


class FilterModule:
    """Filters of the inventory's check."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {
            "inventory_problems": inventory_problems,
            "node_health_problems": node_health_problems,
            "role_options": role_options,
            "type_problems": type_problems,
            "unknown_variables": unknown_variables,
        }
