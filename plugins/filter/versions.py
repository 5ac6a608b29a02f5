# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that says whether hosts may get a version of Slurm."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_version import SlurmVersionError, upgrade_problems


def slurm_upgrade_problems(
    installed: t.Mapping[str, str], wanted: str, servers: t.Sequence[str], play: t.Sequence[str]
) -> list[str]:
    """The problems, with errors of the versions as those of a filter."""
    try:
        return upgrade_problems(installed, wanted, servers, play)
    except SlurmVersionError as error:
        raise AnsibleFilterError(f"Comparing the versions of Slurm failed: {error}.") from error


class FilterModule:
    """Filter for upgrades of Slurm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter by name."""
        return {"slurm_upgrade_problems": slurm_upgrade_problems}
