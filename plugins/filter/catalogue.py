# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the model catalogue: check it, plan it, decide what its job scripts say."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine import repositories
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import CatalogueError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import (
    batch_jobs,
    job_problems,
    serve_job,
    serving_jobs,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import catalogue_problems
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.words import sh_lines, sh_word


def _filter(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """The function with its own errors as those of a filter."""

    @functools.wraps(function)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except CatalogueError as error:
            raise AnsibleFilterError(str(error)) from error

    return wrapper


class FilterModule:
    """Filters of the model catalogue."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        functions = (
            *(batch_jobs, catalogue_plan, catalogue_problems, job_problems, serve_job, serving_jobs),
            *(repositories, sh_lines, sh_word),
        )
        return {function.__name__: _filter(function) for function in functions}
