# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's words: the nodes of `scontrol --oneliner show nodes`, the jobs of SLURM_RESUME_FILE."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from .errors import ElasticError
from .model import Job, Node

_REASON = re.compile(r" Reason=(.*?)(?: \[[^\]]*@[^\]]*\])?(?: Comment=.*| Extra=.*| InstanceId=.*)?$")


def _first(line: str, key: str) -> str:
    """The first value of a key: free text that somebody wrote comes after Slurm's own fields."""
    match = re.search(rf"(?:^| ){key}=(\S*)", line)
    return match.group(1) if match else ""


def parse_nodes(text: str) -> dict[str, Node]:
    """Nodes by name."""
    found = {}
    for line in text.splitlines():
        name = _first(line, "NodeName")
        if not name:
            continue
        reason = _REASON.search(line)
        partitions = _first(line, "Partitions")
        found[name] = Node(
            name=name,
            # A star after the base state means that the node does not answer (it is a flag of its own as well).
            flags=frozenset(_flags(_first(line, "State"))),
            address=_first(line, "NodeAddr"),
            hostname=_first(line, "NodeHostName"),
            partitions=tuple(part for part in partitions.split(",") if part),
            reason=reason.group(1).strip() if reason else "",
        )
    return found


def _flags(state: str) -> list[str]:
    words = []
    for word in state.split("+"):
        words.append(word.rstrip("*"))
        if word.endswith("*"):
            words.append("NOT_RESPONDING")
    return words


def parse_jobs(text: str, expand: Callable[[str], Sequence[str]]) -> list[Job]:
    """The jobs of SLURM_RESUME_FILE (Slurm 23.02 and newer, built with JSON); `expand` makes names of a host list."""
    try:
        jobs = json.loads(text)["jobs"]
        return [
            Job(id=int(job["job_id"]), nodes=frozenset(expand(job.get("nodes_alloc") or job["nodes_resume"])))
            for job in jobs
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ElasticError(f"reading SLURM_RESUME_FILE failed: {error!r}; it begins {text[:80]!r}.") from error
