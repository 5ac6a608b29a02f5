# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are drained before the instances stop, and which are given back when they run again."""

from __future__ import annotations


def nodes(shown: str, reason: str) -> dict[str, list[str]]:
    """`drain`: nodes that nobody has drained. `resume`: those that were drained for this reason, and for no other.

    `shown` is what `sinfo --Node --noheader --format=%N|%T|%E` prints, a line for each node and partition.
    """
    found = {}
    for line in shown.splitlines():
        name, state, why = (one.strip() for one in [*line.split("|", 2), "", ""][:3])
        if name and state:
            found[name] = (state.startswith("drain"), why)
    return {
        "drain": sorted(name for name, (drained, _why) in found.items() if not drained),
        "resume": sorted(name for name, (drained, why) in found.items() if drained and why == reason),
    }


def served(jobs: str) -> list[str]:
    """Ids of the jobs that serve models and end by themselves never, from `squeue --format=%A %j`."""
    found = [line.split(None, 1) for line in jobs.splitlines()]
    return [one[0] for one in found if len(one) == 2 and one[1].startswith("vllm-serve-")]
