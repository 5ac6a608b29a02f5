# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes a job left behind. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

_CGROUP = re.compile(r"/job_([0-9]+)(?:/|$)", re.MULTILINE)


class Process(NamedTuple):
    """A process; its start time tells it from a later one of the same number."""

    pid: int
    started: int
    job: str
    cgroup_job: str
    gpu_files: frozenset[str] = frozenset()


def job_of_environment(environ: bytes) -> str:
    """The job that a process was started in, from /proc/PID/environ."""
    for variable in environ.split(b"\0"):
        name, _equals, value = variable.partition(b"=")
        if name == b"SLURM_JOB_ID":
            return value.decode("ascii", "replace")
    return ""


def job_of_cgroup(text: str) -> str:
    """The job whose cgroup a process is in, from /proc/PID/cgroup; empty where Slurm made none with the job's id."""
    found = _CGROUP.search(text)
    return found[1] if found else ""


def left_by(
    job: str, processes: Sequence[Process], gpu_files: Collection[str], other_jobs: Callable[[], bool]
) -> list[Process]:
    """The processes of a job that is over, among those of its user.

    The kernel's word (cgroup) comes before the process's own (environment). A process that names no job at all is this
    job's only if it holds one of the job's GPUs open and its user has no other job on the node.
    """
    sure = [one for one in processes if one.cgroup_job == job or (not one.cgroup_job and one.job == job)]
    nameless = [one for one in processes if not one.cgroup_job and not one.job and one.gpu_files & frozenset(gpu_files)]
    return sure + (nameless if nameless and not other_jobs() else [])
