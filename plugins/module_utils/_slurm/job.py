# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One job as Slurm told it, whatever command and whatever version told it. Pure."""

from __future__ import annotations

import posixpath
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask_argv
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import parse_comment

# What Slurm writes for %a in a job that is no array (NO_VAL, slurm/slurm.h).
NO_TASK = 4294967294
_PATTERN = r"%(?P<width>[0-9]*)(?P<letter>[%AJjNnstuxa])"


class Job(t.NamedTuple):
    """A job. `exit_code` and `signal` are None until it has ended; times are seconds since 1970."""

    job_id: int
    name: str
    user: str
    state: str
    flags: tuple[str, ...] = ()
    reason: str = ""
    comment: str = ""
    nodes: str = ""
    batch_host: str = ""
    submit_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    chdir: str = ""
    submit_line: str = ""
    group_id: int = 0
    array_task_id: int | None = None
    cluster: str = ""

    @property
    def phase(self) -> str:
        return states.phase(self.state, self.flags)

    @property
    def live(self) -> bool:
        return states.is_live(self.state, self.flags)

    @property
    def group(self) -> int:
        """The id that scancel takes for all tasks of an array and all parts of a heterogeneous job."""
        return self.group_id or self.job_id

    @property
    def owner(self) -> str | None:
        """The name in the comment, when the job is one of ours."""
        ours = parse_comment(self.comment)
        return ours[0] if ours else None

    @property
    def key(self) -> str | None:
        ours = parse_comment(self.comment)
        return ours[1] if ours else None

    @property
    def succeeded(self) -> bool:
        return self.state == "COMPLETED" and not self.exit_code

    @property
    def turned_away(self) -> bool:
        """It never was on a node: slurmctld keeps what no node can ever run for a while, as a job that failed.

        So sbatch has an error, and squeue a job all the same (seen with 24.11.5).
        """
        return self.state == "FAILED" and self.reason == "BadConstraints" and not self.nodes

    @property
    def told_in_full(self) -> bool:
        """Whether a list of jobs told all about it: one in JSON did, and it is no array with tasks of its own."""
        return bool(self.stdout) and not self.group_id

    @property
    def title(self) -> str:
        # The task of an array as Slurm writes it.
        shown = self.job_id if self.array_task_id is None else f"{self.group}_{self.array_task_id}"
        return f"job {shown} ({self.name}){f' on {self.nodes}' if self.nodes else ''}"

    @property
    def subject(self) -> str:
        """The title at the beginning of a sentence."""
        return self.title.replace("job", "Job", 1)

    def facts(self) -> dict[str, t.Any]:
        """The job as a module returns it."""
        found = self._asdict()
        for private in ("flags", "group_id", "cluster"):
            del found[private]
        found["job_state"] = found.pop("state")
        found["state_flags"] = list(self.flags)
        found["key"] = self.key
        # Slurm keeps the submit line as one text, joined with spaces.
        found["submit_line"] = mask_argv(self.submit_line.split())
        found["nodes"] = self.nodes or None
        found["batch_host"] = self.batch_host or None
        return found


def expand_path(
    path: str,
    *,
    job_id: int,
    name: str,
    user: str,
    chdir: str,
    batch_host: str,
    array_job_id: int = 0,
    array_task_id: int | None = None,
    patterns: bool = True,
) -> str:
    """A log file's path, absolute, with Slurm's patterns filled in unless Slurm has done that.

    squeue and scontrol of 24.11 still say `slurm-%j.out`. Patterns of single tasks (%t, %n, %s) stand for the batch
    step's own, which is task 0 of node 0.
    """
    if not path:
        return ""
    if not patterns:
        filled = path
    elif "\\" in path:
        # A backslash tells Slurm to take the name as it is.
        filled = path.replace("\\", "")
    else:
        values = {
            "%": "%",
            "A": str(array_job_id or job_id),
            "J": f"{job_id}.batch",
            "j": str(job_id),
            "N": batch_host.split(".")[0],
            "n": "0",
            "s": "batch",
            "t": "0",
            "u": user,
            "x": name,
            "a": str(NO_TASK if array_task_id is None else array_task_id),
        }

        def fill(match: re.Match[str]) -> str:
            value = values[match["letter"]]
            # More than ten digits of padding mean ten; text is never padded.
            return value.zfill(min(int(match["width"]), 10)) if match["width"] and value.isdigit() else value

        filled = re.sub(_PATTERN, fill, path)
    return posixpath.normpath(posixpath.join(chdir or "/", filled))
