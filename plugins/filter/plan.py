# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that plan where models fit: see docs/planning.md."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import parse_sinfo
from ansible_collections.llmops.cluster.plugins.module_utils._plan.serving import (
    plan_problems,
    planned_overrides,
    serving_plan,
)


def slurm_gpus(lines: t.Any) -> list[dict[str, t.Any]]:
    """Groups of GPUs out of the lines of sinfo."""
    return parse_sinfo(lines.splitlines() if isinstance(lines, str) else lines)


def _filter(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """The function with its own errors as those of a filter."""

    @functools.wraps(function)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except (CatalogueError, PlanError) as error:
            raise AnsibleFilterError(str(error)) from error

    return wrapper


class FilterModule:
    """Filters that plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        functions = (plan_problems, planned_overrides, serving_plan, slurm_gpus)
        return {function.__name__: _filter(function) for function in functions}
