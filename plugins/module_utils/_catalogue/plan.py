# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as the roles use it: complete, checked, selected. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.merge import (
    selected_names,
    with_overrides,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import MODELS_VARIABLE
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import (
    catalogue_problems,
    check_defaults,
    check_entry,
    check_overrides,
)


def catalogue_plan(
    models: t.Any, defaults: t.Any = None, selection: t.Any = None, overrides: t.Any = None
) -> list[dict[str, t.Any]]:
    """Complete entries in the order of the catalogue; those selected, or all."""
    problems = catalogue_problems(models, defaults, selection, overrides)
    if problems:
        raise CatalogueError(f"Planning the models of {MODELS_VARIABLE} failed:\n" + "\n".join(problems))
    values, _ignored = check_defaults(defaults)
    merged = with_overrides(models, check_overrides(models, overrides)[0])
    entries = (check_entry(index, found, values)[0] for index, found in enumerate(merged))
    names = selected_names(selection)
    return [entry for entry in entries if entry is not None and (not names or entry["name"] in names)]


def given_keys(models: t.Any, defaults: t.Any = None, overrides: t.Any = None) -> dict[str, set[str]]:
    """Which keys were said for each model: in its entry, in the defaults or by the site. What is empty was not said."""
    said = set(check_defaults(defaults)[0])
    merged = with_overrides(models, check_overrides(models, overrides)[0])
    found = {}
    for entry in merged:
        if isinstance(entry, Mapping):
            found[str(entry.get("name"))] = said | {key for key, value in entry.items() if value not in (None, "")}
    return found
