# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of Slurm's accounting."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.declare import (
    accounting_problems as problems_of,
)


def accounting_problems(accounts: t.Any, qos: t.Any = (), users: t.Any = (), prefix: str = "slurm_") -> list[str]:
    """Everything that is wrong with declared accounts, QOS and users."""
    return problems_of(qos=qos, accounts=accounts, users=users, prefix=prefix)


class FilterModule:
    """Filters of Slurm's accounting."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"accounting_problems": accounting_problems}
