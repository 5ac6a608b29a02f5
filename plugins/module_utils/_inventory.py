# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an inventory has the groups that the playbooks need. Private to this collection."""

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Mapping, Sequence

CONTROLLER = "slurm_controller"
COMPUTE = "slurm_compute"
DATABASE = "slurm_database"
BACKUP = "slurm_backup_controller"
ELASTIC = "slurm_elastic"
CATALOGUE = "vllm"

# Group: what belongs in it, the fewest and the most hosts of it (None: as many as wanted).
_GROUPS: t.Final[Mapping[str, tuple[str, int, int | None]]] = {
    CONTROLLER: ("exactly one host, the one that runs slurmctld", 1, 1),
    COMPUTE: ("at least one host, those that run the models", 1, None),
    DATABASE: ("at most one host, the one of the accounting database", 0, 1),
    BACKUP: ("at most one host, the one that takes over from the controller", 0, 1),
}
_NEXT = "Correct the groups of the inventory (inventory/static/hosts.yml is a template), or give another one with -i."


def inventory_problems(groups: Mapping[str, Sequence[str]], serving: bool = True) -> list[str]:
    """Readable messages, none when every group has the hosts that it needs; for Slurm alone without `serving`."""
    found = [name for name in groups if name not in ("all", "ungrouped")]
    problems = [message for name in _GROUPS if (message := _count_problem(name, groups, found))]
    problems += _backup_problems(groups)
    readers = [*groups.get(CONTROLLER, ()), *groups.get(COMPUTE, ()), *groups.get(BACKUP, ())]
    # A set: with a thousand hosts each look into Ansible's own list takes milliseconds.
    catalogue = set(groups.get(CATALOGUE, ()))
    outside = [host for host in dict.fromkeys(readers) if host not in catalogue]
    if serving and (outside or not groups.get(CATALOGUE)):
        lacks = "is missing or empty" if not groups.get(CATALOGUE) else f"lacks {_listed(outside)}"
        needed = f"{CONTROLLER}, {COMPUTE} and {BACKUP}" if groups.get(BACKUP) else f"{CONTROLLER} and {COMPUTE}"
        problems.append(
            f"The group {CATALOGUE} {lacks}{_near(CATALOGUE, found)}; needed are all hosts of {needed}: they read the "
            "model catalogue (group_vars/vllm.yml)."
        )
    return [*problems, f"Groups found: {_listed(found) or 'none'}. {_NEXT}"] if problems else []


def _backup_problems(groups: Mapping[str, Sequence[str]]) -> list[str]:
    problems = [
        f"{host} is in {CONTROLLER} and in {BACKUP}; the controller is backed up by another host."
        for host in groups.get(BACKUP, ())
        if host in groups.get(CONTROLLER, ())
    ]
    if groups.get(BACKUP) and groups.get(ELASTIC):
        problems.append(
            f"The groups {BACKUP} and {ELASTIC} both have hosts; what starts and stops elastic nodes is on the "
            "controller alone, so after a takeover none would come or go."
        )
    return problems


def _count_problem(name: str, groups: Mapping[str, Sequence[str]], found: Sequence[str]) -> str | None:
    wanted, fewest, most = _GROUPS[name]
    hosts = groups.get(name, ())
    if name not in groups and fewest:
        return f"The group {name} is missing{_near(name, found)}; needed is {wanted}."
    if len(hosts) < fewest:
        return f"The group {name} is empty; needed is {wanted}."
    if most is not None and len(hosts) > most:
        return f"The group {name} has {len(hosts)} hosts ({_listed(hosts)}); allowed is {wanted}."
    return None


def _near(name: str, found: Sequence[str]) -> str:
    others = [other for other in found if other not in (*_GROUPS, CATALOGUE)]
    near = difflib.get_close_matches(name, others, n=1, cutoff=0.75)
    return f" (is {near[0]} meant to be it?)" if near else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
