# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that say whether hosts may get a version of Slurm."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_version import (
    SlurmVersionError,
    upgrade_problems,
    version_of_build,
)


def slurm_build_versions(folders: t.Mapping[str, str]) -> dict[str, str]:
    """The versions in the names of the folders that hosts have Slurm in."""
    return {host: version_of_build(folder) for host, folder in folders.items()}


def slurm_upgrade_problems(
    installed: t.Mapping[str, str], wanted: str, servers: t.Sequence[str], play: t.Sequence[str]
) -> list[str]:
    """The problems, with errors of the versions as those of a filter."""
    try:
        return upgrade_problems(installed, wanted, servers, play)
    except SlurmVersionError as error:
        raise AnsibleFilterError(f"Comparing the versions of Slurm failed: {error}") from error


class FilterModule:
    """Filters for upgrades of Slurm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"slurm_build_versions": slurm_build_versions, "slurm_upgrade_problems": slurm_upgrade_problems}
