# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that check an inventory's variables against the roles' argument specifications."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._variables import spec_of_given, unknown_variables


def role_options(roles: list[str], folder: str) -> dict[str, dict[str, t.Any]]:
    """Options of each role's main entry point, from its argument specification."""
    options = {}
    for role in roles:
        path = Path(folder) / role / "meta/argument_specs.yml"
        try:
            options[role] = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
        except (OSError, yaml.YAMLError, KeyError) as error:
            raise AnsibleFilterError(f"Reading the options of the role {role} from {path} failed: {error}") from error
    return options


class FilterModule:
    """Filters of the inventory's check."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {
            "role_options": role_options,
            "spec_of_given": spec_of_given,
            "unknown_variables": unknown_variables,
        }
