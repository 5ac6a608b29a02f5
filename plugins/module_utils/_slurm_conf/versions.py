# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of Slurm's daemons work together. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

# In order. A daemon talks to daemons of its own release and of the three before it (RELEASE_NOTES of 25.11: "upgrading
# directly from 25.05, 24.11, and 24.05").
RELEASES: t.Final = ("23.02", "23.11", "24.05", "24.11", "25.05", "25.11", "26.05")
WINDOW: t.Final = 3


def release_of(version: str) -> str | None:
    """24.11 of 24.11.5-4+deb13u1; None for what is no version of Slurm."""
    match = re.match(r"([0-9]{2}\.[0-9]{2})\.[0-9]+", version)
    return match[1] if match else None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def version_faults(database: Mapping[str, str], controller: Mapping[str, str], compute: Mapping[str, str]) -> list[str]:
    """slurmdbd must be the newest and slurmd the oldest (upgrades.html); each argument is host -> version."""
    faults = [
        f"slurm_version of {host} is {version!r}; allowed is a version such as 26.05.4."
        for group in (database, controller, compute)
        for host, version in group.items()
        if release_of(version) is None
    ]
    for above, higher, below, lower in (
        ("slurmdbd", database, "slurmctld", controller),
        ("slurmctld", controller, "slurmd", compute),
    ):
        for host, version in higher.items():
            for other, older in lower.items():
                if not faults:
                    faults += _pair_faults((above, host, version), (below, other, older))
    return list(dict.fromkeys(faults))


def _pair_faults(above: tuple[str, str, str], below: tuple[str, str, str]) -> list[str]:
    upper, lower = release_of(above[2]) or "", release_of(below[2]) or ""
    told = f"{below[0]} {below[2]} on {below[1]}, {above[0]} {above[2]} on {above[1]}"
    if _order(lower) > _order(upper):
        return [f"slurm_version: {told}; allowed is a {above[0]} at least as new. Upgrade {above[0]} first."]
    if upper in RELEASES and lower in RELEASES and RELEASES.index(upper) - RELEASES.index(lower) > WINDOW:
        step = RELEASES[RELEASES.index(lower) + WINDOW]
        return [f"slurm_version: {told}; they are more than {WINDOW} releases apart. Go by way of {step}."]
    return []
