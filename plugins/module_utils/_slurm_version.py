# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of Slurm may follow which. Private to this collection.

Source: the table "Compatible Prior Version" of Slurm's Upgrade Guide (doc/html/upgrades.shtml of the 25.11 release):
state files, database and messages of the two releases before are understood, from 24.11 on of the three before.
"""

from __future__ import annotations

import re
import typing as t

Release = tuple[int, int]

# Until 23.11 releases came when they were ready; since then each May and November.
_IRREGULAR: t.Final[tuple[Release, ...]] = (
    (17, 11), (18, 8), (19, 5), (20, 2), (20, 11), (21, 8), (22, 5), (23, 2), (23, 11),
)  # fmt: skip
_THREE_BACK_SINCE: t.Final[Release] = (24, 11)


class SlurmVersionError(Exception):
    """What was given is no version of Slurm."""


def _name(release: Release) -> str:
    return f"{release[0]}.{release[1]:02d}"


def _place(release: Release) -> int:
    """Where a release stands in the line of all releases."""
    if release in _IRREGULAR:
        return _IRREGULAR.index(release)
    year, month = release
    if year < 24 or month not in (5, 11):
        raise SlurmVersionError(
            f"there is no Slurm {_name(release)}: releases are {_name(_IRREGULAR[0])} to {_name(_IRREGULAR[-1])}, "
            "then one each May and November (24.05, 24.11, ...)"
        )
    return len(_IRREGULAR) + (year - 24) * 2 + (month == 11)


def _at(place: int) -> Release:
    if place < len(_IRREGULAR):
        return _IRREGULAR[place]
    year, november = divmod(place - len(_IRREGULAR), 2)
    return (24 + year, 11 if november else 5)


def release_of(version: str) -> Release:
    """The release that a version belongs to: V(24.11.5-4+deb13u1) is of 24.11."""
    found = re.match(r"^(\d\d)\.(\d\d)\.\d+(?![\d.])", version)
    if not found:
        raise SlurmVersionError(f"'{version}' is no version of Slurm: one looks like 26.05.4 or 24.11.5-4+deb13u1")
    release = (int(found[1]), int(found[2]))
    _place(release)
    return release


def version_of_build(folder: str) -> str:
    """The version in the name of a build's folder, /opt/slurm/VERSION-KEY; "" for no folder."""
    return re.sub(r"-[0-9a-f]{12}$", "", folder.rpartition("/")[2])


def predecessors(release: Release) -> list[Release]:
    """The releases from which one can go to this one, oldest first."""
    place = _place(release)
    back = 3 if release >= _THREE_BACK_SINCE else 2
    return [_at(one) for one in range(max(0, place - back), place)]


def steps(installed: Release, wanted: Release) -> list[Release]:
    """The releases to stop at on the way from one to the other: as few as can be, none when no stop is needed."""
    found: list[Release] = []
    here = installed
    while here < wanted and here not in predecessors(wanted):
        here = max(one for one in map(_at, range(_place(here) + 1, _place(wanted))) if here in predecessors(one))
        found.append(here)
    return found


def _downgrade(hosts: str, version: str, wanted: str) -> str:
    release = _name(release_of(version))
    return (
        f"slurm_version is {wanted}, but Slurm {version} is on {hosts}: an older release cannot read what {release} "
        f"wrote. Nothing was changed. Set slurm_version to a version of {release} or newer; the way back is a backup "
        "from before the upgrade (docs/upgrade.md)."
    )


def _jump(hosts: str, version: str, wanted: str) -> str:
    release = release_of(wanted)
    stops = steps(release_of(version), release)
    several = f", then of {', then of '.join(map(_name, stops[1:]))}" if stops[1:] else ""
    return (
        f"slurm_version is {wanted}, but Slurm {version} is on {hosts}: {_name(release)} follows only "
        f"{', '.join(map(_name, predecessors(release)))}. Nothing was changed. Set slurm_version to a version of "
        f"{_name(stops[0])} first and run this playbook{several}, then {wanted}."
    )


def _left_behind(server: str, version: str, wanted: str) -> str:
    return (
        f"slurm_version is {wanted}, but Slurm {version} is on {server}, which is not part of this run and which the "
        "other hosts ask: no daemon may be newer than the one it asks. Nothing was changed. Run without --limit."
    )


def upgrade_problems(
    installed: t.Mapping[str, str], wanted: str, servers: t.Sequence[str], play: t.Sequence[str]
) -> list[str]:
    """Why the hosts of a run cannot get the wanted version, one message a reason.

    `installed` maps hosts to the versions they have ("": none), `servers` are the hosts of slurmdbd and slurmctld,
    `play` the hosts of this run.
    """
    release = release_of(wanted)
    by_version: dict[str, list[str]] = {}
    for host, version in installed.items():
        if version and host in play:
            by_version.setdefault(version, []).append(host)
    problems = []
    for version, hosts in by_version.items():
        have = release_of(version)
        names = ", ".join(hosts)
        if have > release:
            problems.append(_downgrade(names, version, wanted))
        elif steps(have, release):
            problems.append(_jump(names, version, wanted))
    for server in dict.fromkeys(servers):
        version = installed.get(server, "")
        if version and server not in play and release_of(version) < release:
            problems.append(_left_behind(server, version, wanted))
    return problems
