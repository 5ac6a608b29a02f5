# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role's argument specification says the same as its defaults."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

ROLES = sorted(path.parent.parent for path in Path(__file__).parents[2].glob("roles/*/meta/argument_specs.yml"))
ALL_ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir() if path.is_dir())


def load(path: Path) -> dict[str, t.Any]:
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def options(role: Path) -> dict[str, t.Any]:
    """The options of all entry points of a role together."""
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}


def undocumented(prefix: str, found: dict[str, t.Any]) -> list[str]:
    """Options, nested ones too, that lack a type or a description."""
    names = []
    for name, option in found.items():
        if not option.get("type") or not option.get("description"):
            names.append(prefix + name)
        names += undocumented(f"{prefix}{name}.", option.get("options") or {})
    return names


@pytest.mark.parametrize("role", ALL_ROLES, ids=lambda role: role.name)
def test_every_role_has_a_specification(role: Path) -> None:
    assert role in ROLES, f"{role.name} has no meta/argument_specs.yml"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_keys_are_those_of_the_defaults(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml")
    # What must be given by the user has no default by intent: no value is better than an unsafe one.
    optional = {name for name, option in options(role).items() if not option.get("required")}
    assert optional == set(defaults)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_values_are_those_of_the_defaults(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml")
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert specified == {name: defaults.get(name) for name in specified}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_literal_default_is_specified_too(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml")
    silent = [
        name
        for name, option in options(role).items()
        if "default" not in option and name in defaults and "{{" not in str(defaults[name])
    ]
    assert silent == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_has_type_and_description(role: Path) -> None:
    assert undocumented("", options(role)) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_names_begin_with_the_name_of_the_role(role: Path) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role.name}_")] == []
