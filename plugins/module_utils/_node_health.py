# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the health check of nodes can use, of all nodes in one pass. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

# Slurm ends a health check after 60 seconds, so no part of it may take the better part of that.
_SECONDS: t.Final[Mapping[str, tuple[float, float | None]]] = {
    "node_health_interval": (5, None),
    "node_health_nvidia_smi_timeout": (1, 25),
    "node_health_file_timeout": (1, 25),
}
NAMES: t.Final = ("node_health_enabled", *_SECONDS, "node_health_mounts", "node_health_disks")


def node_health_problems(given: Mapping[str, Mapping[str, t.Any]]) -> list[str]:
    """Sentences that name variable, value, what is allowed, and the hosts.

    `given` is host -> variables, of the right types. What a host does not give is the role's default, which is right.
    """
    found: dict[str, list[str]] = {}
    for host, values in given.items():
        if values.get("node_health_enabled") is not False:
            for fault in _faults(values):
                found.setdefault(fault, []).append(host)
    return [
        f"{fault} (Set for {hosts[0] if len(hosts) == 1 else f'{len(hosts)} hosts'}.)" for fault, hosts in found.items()
    ]


def _faults(values: Mapping[str, t.Any]) -> list[str]:
    faults = []
    for name, (least, most) in _SECONDS.items():
        if name in values and not least <= float(values[name]) <= (most or float("inf")):
            wanted = f"at least {least:g} seconds" if most is None else f"{least:g} to {most:g} seconds"
            faults.append(f"{name} is {values[name]}; allowed is {wanted}.")
    paths = {
        "node_health_mounts": values.get("node_health_mounts") or [],
        "node_health_disks": [disk.get("path", "") for disk in values.get("node_health_disks") or []],
    }
    for name, listed in paths.items():
        faults += [f"{name} has the path '{path}'; allowed are absolute ones." for path in listed if path[:1] != "/"]
    return faults
