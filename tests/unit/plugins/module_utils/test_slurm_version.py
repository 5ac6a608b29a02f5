# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_version import (
    SlurmVersionError,
    predecessors,
    release_of,
    steps,
    upgrade_problems,
    version_of_build,
)

SERVERS = ["ctl", "db"]
ALL = ["ctl", "db", "gpu1", "gpu2"]


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("26.05.4", (26, 5)),
        ("24.11.5-4+deb13u1", (24, 11)),
        ("20.02.7", (20, 2)),
        ("26.05.0rc1", (26, 5)),
        ("31.11.0", (31, 11)),
    ],
)
def test_release_of_a_version(version: str, release: tuple[int, int]) -> None:
    assert release_of(version) == release


@pytest.mark.parametrize(
    ("folder", "version"),
    [
        ("/opt/slurm/24.11.5-4+deb13u1-b6a816e18137", "24.11.5-4+deb13u1"),
        ("/opt/slurm/26.05.4-0123456789ab", "26.05.4"),
        ("/opt/slurm/26.05.5-1-0123456789ab", "26.05.5-1"),
        ("", ""),
    ],
)
def test_version_in_the_name_of_a_build(folder: str, version: str) -> None:
    assert version_of_build(folder) == version


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("26.05", "'26.05' is no version of Slurm: one looks like 26.05.4 or 24.11.5-4+deb13u1"),
        ("", "'' is no version of Slurm: one looks like 26.05.4 or 24.11.5-4+deb13u1"),
        ("26.05.4.1", "'26.05.4.1' is no version of Slurm: one looks like 26.05.4 or 24.11.5-4+deb13u1"),
        (
            "24.08.1",
            "there is no Slurm 24.08: releases are 17.11 to 23.11, then one each May and November (24.05, 24.11, ...)",
        ),
        (
            "22.11.1",
            "there is no Slurm 22.11: releases are 17.11 to 23.11, then one each May and November (24.05, 24.11, ...)",
        ),
    ],
)
def test_no_version(version: str, message: str) -> None:
    with pytest.raises(SlurmVersionError) as caught:
        release_of(version)
    assert str(caught.value) == message


# The table of Slurm's Upgrade Guide, line by line.
@pytest.mark.parametrize(
    ("release", "prior"),
    [
        ("23.11.0", "22.05 23.02"),
        ("24.05.0", "23.02 23.11"),
        ("24.11.0", "23.02 23.11 24.05"),
        ("25.05.0", "23.11 24.05 24.11"),
        ("25.11.0", "24.05 24.11 25.05"),
        ("26.05.0", "24.11 25.05 25.11"),
        ("26.11.0", "25.05 25.11 26.05"),
        ("17.11.0", ""),
    ],
)
def test_compatible_prior_versions(release: str, prior: str) -> None:
    assert " ".join(f"{year}.{month:02d}" for year, month in predecessors(release_of(release))) == prior


@pytest.mark.parametrize(
    ("installed", "wanted", "stops"),
    [
        ("24.11.5", "26.05.5", []),
        ("26.05.4", "26.05.5", []),
        ("24.05.4", "26.05.4", ["25.11"]),
        ("22.05.8", "24.11.5", ["23.11"]),
        ("20.11.9", "26.05.4", ["22.05", "23.11", "25.05"]),
        ("26.05.4", "24.11.5", []),
    ],
)
def test_stops_on_the_way(installed: str, wanted: str, stops: list[str]) -> None:
    found = steps(release_of(installed), release_of(wanted))
    assert [f"{year}.{month:02d}" for year, month in found] == stops


DOWNGRADE = (
    "slurm_version is {wanted}, but Slurm {version} is on {hosts}: an older release cannot read what 26.05 wrote. "
    "Nothing was changed. Set slurm_version to a version of 26.05 or newer; the way back is a backup from before "
    "the upgrade (docs/upgrade.md)."
)
LEFT_BEHIND = (
    "slurm_version is 26.05.4, but Slurm 25.11.2 is on {host}, which is not part of this run and which the other "
    "hosts ask: no daemon may be newer than the one it asks. Nothing was changed. Run without --limit."
)
CASES: dict[str, tuple[dict[str, str], str, list[str], list[str]]] = {
    "nothing there yet": (dict.fromkeys(ALL, ""), "26.05.4", ALL, []),
    "the same": (dict.fromkeys(ALL, "26.05.4"), "26.05.4", ALL, []),
    "a newer patch": (dict.fromkeys(ALL, "26.05.4"), "26.05.5", ALL, []),
    "an older patch of the same release": (dict.fromkeys(ALL, "26.05.5"), "26.05.4", ALL, []),
    "three releases on": (dict.fromkeys(ALL, "24.11.5-4+deb13u1"), "26.05.4", ALL, []),
    "goes on after an interruption": (
        {"ctl": "26.05.4", "db": "26.05.4", "gpu1": "24.11.5", "gpu2": "24.11.5"},
        "26.05.4",
        ALL,
        [],
    ),
    "one new host among them": ({"ctl": "26.05.4", "gpu1": "", "gpu2": "26.05.4"}, "26.05.4", ALL, []),
    "a jump": (
        dict.fromkeys(ALL, "24.05.4"),
        "26.05.4",
        ALL,
        [
            "slurm_version is 26.05.4, but Slurm 24.05.4 is on ctl, db, gpu1, gpu2: 26.05 follows only 24.11, 25.05, "
            "25.11. Nothing was changed. Set slurm_version to a version of 25.11 first and run this playbook, then "
            "26.05.4."
        ],
    ),
    "a jump with several steps": (
        {"ctl": "20.11.9"},
        "26.05.4",
        ["ctl"],
        [
            "slurm_version is 26.05.4, but Slurm 20.11.9 is on ctl: 26.05 follows only 24.11, 25.05, 25.11. Nothing "
            "was changed. Set slurm_version to a version of 22.05 first and run this playbook, then of 23.11, then of "
            "25.05, then 26.05.4."
        ],
    ),
    "a downgrade": (
        dict.fromkeys(ALL, "26.05.4"),
        "24.11.5-4+deb13u1",
        ALL,
        [DOWNGRADE.format(wanted="24.11.5-4+deb13u1", version="26.05.4", hosts="ctl, db, gpu1, gpu2")],
    ),
    "a compute host alone, before its servers": (
        {"ctl": "25.11.2", "db": "25.11.2", "gpu1": "25.11.2"},
        "26.05.4",
        ["gpu1"],
        [LEFT_BEHIND.format(host="ctl"), LEFT_BEHIND.format(host="db")],
    ),
    "a compute host alone, after its servers": (
        {"ctl": "26.05.4", "db": "26.05.4", "gpu1": "25.11.2"},
        "26.05.4",
        ["gpu1"],
        [],
    ),
    "each version gets its own words": (
        {"ctl": "26.05.4", "gpu1": "22.05.8"},
        "25.05.1",
        ALL,
        [
            DOWNGRADE.format(wanted="25.05.1", version="26.05.4", hosts="ctl"),
            "slurm_version is 25.05.1, but Slurm 22.05.8 is on gpu1: 25.05 follows only 23.11, 24.05, 24.11. Nothing "
            "was changed. Set slurm_version to a version of 23.11 first and run this playbook, then 25.05.1.",
        ],
    ),
}


@pytest.mark.parametrize(("installed", "wanted", "play", "problems"), CASES.values(), ids=CASES.keys())
def test_upgrade_problems(installed: dict[str, str], wanted: str, play: list[str], problems: list[str]) -> None:
    assert upgrade_problems(installed, wanted, SERVERS, play) == problems
