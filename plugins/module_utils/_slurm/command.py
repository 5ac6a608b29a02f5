# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument vectors and the environment of Slurm's commands. Pure; nothing here ever is a shell string."""

from __future__ import annotations

import os
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec


def new_separator() -> str:
    """What stands between two fields of a text, made anew in each run.

    Slurm prints names, comments and submit lines as they are, line breaks and control characters included. What nobody
    can guess, nobody can put into the name of a job, and with it a record of his own making.
    """
    return f"\x1f{os.urandom(8).hex()}\x1f"


SEPARATOR = new_separator()
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SQUEUE_FIELDS = {
    "job_id": "%A",
    # With the id of the whole in front, for the tasks of an array (7_1) and the parts of a heterogeneous job (7+1).
    "shown_id": "%i",
    "state": "%T",
    "reason": "%r",
    "nodes": "%N",
    "batch_host": "%B",
    "submit_time": "%V",
    "start_time": "%S",
    "user": "%u",
    "name": "%j",
    "comment": "%k",
}
SACCT_FIELDS = {
    "job_id": "JobIDRaw",
    "shown_id": "JobID",
    "state": "State",
    "exit_code": "ExitCode",
    "reason": "Reason",
    "nodes": "NodeList",
    "submit_time": "Submit",
    "start_time": "Start",
    "end_time": "End",
    "user": "User",
    "name": "JobName",
    "chdir": "WorkDir",
    "submit_line": "SubmitLine",
    "comment": "Comment",
}
# The dynamic loader and the C library act on these before the first line of a program.
_LOADER = (
    r"LD_|MALLOC_|GCONV_PATH|GETCONF_DIR|GLIBC_TUNABLES|HOSTALIASES|LOCALDOMAIN|LOCPATH|NIS_PATH|NLSPATH|RES_OPTIONS|"
    r"RESOLV_HOST_CONF|TZDIR"
)
# sacct looks no further back than midnight unless told.
HISTORY_START = "2000-01-01"
LONGEST_LIST = 65536


class Account(t.NamedTuple):
    """The user a job belongs to, as the password database has it."""

    name: str
    home: str
    shell: str


class Tools(t.NamedTuple):
    """Where the commands are. Accounting and runuser may be missing."""

    sbatch: str
    squeue: str
    scontrol: str
    scancel: str
    sacct: str | None = None
    runuser: str | None = None


def base_environment(account: Account, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a Slurm command needs and nothing of the session that happens to run it.

    Leaving out the inherited SLURM_*, SBATCH_* and SQUEUE_* keeps a module that runs inside a job from submitting into
    that job. SLURM_CONF stays: without it a cluster at an unusual place is not found.
    """
    environment = {
        "HOME": account.home,
        "LANG": "C.UTF-8",
        "LOGNAME": account.name,
        "PATH": PATH,
        "SHELL": account.shell,
        "USER": account.name,
    }
    if inherited.get("SLURM_CONF"):
        environment["SLURM_CONF"] = inherited["SLURM_CONF"]
    return environment


def read_environment(account: Account, inherited: Mapping[str, str]) -> dict[str, str]:
    """For commands that only look: times as seconds since 1970, whatever the time zone."""
    return {**base_environment(account, inherited), "SLURM_TIME_FORMAT": "%s"}


def as_user(argv: Sequence[str], user: str, runuser: str | None) -> list[str]:
    """`argv` run as `user`; without runuser the caller is that user already."""
    return [runuser, "-u", user, "--", *argv] if runuser else list(argv)


def apart_from_the_loader(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """`environment` without what the loader acts on, and a command that sets that for the command after it.

    A job may preload a library of its user's. runuser, which is root, must not.
    """
    ours = {name: value for name, value in environment.items() if not re.match(_LOADER, name)}
    loaders = [f"{name}={value}" for name, value in environment.items() if re.match(_LOADER, name)]
    # By its full path: the job may have a PATH of its own.
    return ours, ["/usr/bin/env", *loaders] if loaders else []


def sbatch(tools: Tools, spec: JobSpec, comment: str, script_path: str, *, test_only: bool = False) -> list[str]:
    """The submission.

    The job gets the whole environment of the client, which holds what was asked for and no more. A list of names in
    `--export` would do something else as well: make slurmd log the user in to fetch a login environment (a service
    account has no login shell: the job is held), and hide the variables of the script from its own srun.
    """
    return [
        tools.sbatch,
        "--parsable",
        *(["--test-only"] if test_only else []),
        f"--job-name={spec.name}",
        f"--comment={comment}",
        f"--chdir={spec.chdir}",
        "--export=ALL",
        *spec.options,
        script_path,
        *spec.args,
    ]


def squeue_named_json(tools: Tools, names: Sequence[str], user: str | None) -> list[str]:
    return [*_squeue_json(tools), *_named(names, user)]


def squeue_named_text(tools: Tools, names: Sequence[str], user: str | None) -> list[str]:
    return [*_squeue_text(tools), *_named(names, user)]


def _named(names: Sequence[str], user: str | None) -> list[str]:
    """Names and user as filters. They only save work: whoever asks sorts the answer himself."""
    listed = ",".join(names)
    # One argument holds 128 KiB at most; thousands of names are asked for as all jobs of the user.
    by_name = [f"--name={listed}"] if names and (len(listed) < LONGEST_LIST or not user) else []
    return [*([f"--user={user}"] if user else []), *by_name]


def squeue_jobs_text(tools: Tools, job_ids: Sequence[int]) -> list[str]:
    """The cheap question, asked again and again while waiting."""
    return [*_squeue_text(tools), _ids(job_ids)]


def squeue_jobs_json(tools: Tools, job_ids: Sequence[int]) -> list[str]:
    return [*_squeue_json(tools), _ids(job_ids)]


def _ids(job_ids: Sequence[int]) -> str:
    return f"--jobs={','.join(str(job_id) for job_id in job_ids)}"


def _squeue_json(tools: Tools) -> list[str]:
    return [tools.squeue, "--json", "--states=all"]


def _squeue_text(tools: Tools) -> list[str]:
    return [tools.squeue, "--noheader", "--states=all", f"--format={SEPARATOR.join(SQUEUE_FIELDS.values())}"]


def scontrol_job_json(tools: Tools, job_id: int) -> list[str]:
    return [tools.scontrol, "--json", "show", "job", str(job_id)]


def scontrol_job_text(tools: Tools, job_id: int) -> list[str]:
    return [tools.scontrol, "--oneliner", "show", "job", str(job_id)]


def scontrol_config(tools: Tools) -> list[str]:
    return [tools.scontrol, "show", "config"]


def scontrol_script(tools: Tools, job_id: int) -> list[str]:
    return [tools.scontrol, "write", "batch_script", str(job_id), "-"]


def sacct_jobs(sacct: str, job_ids: Sequence[int], *, as_json: bool) -> list[str]:
    return [*_sacct(sacct, as_json=as_json), _ids(job_ids)]


def sacct_named(sacct: str, names: Sequence[str], user: str | None, *, as_json: bool) -> list[str]:
    everybody = [] if user else ["--allusers"]
    return [*_sacct(sacct, as_json=as_json), f"--starttime={HISTORY_START}", *everybody, *_named(names, user)]


def _sacct(sacct: str, *, as_json: bool) -> list[str]:
    if as_json:
        return [sacct, "--json"]
    fields = ",".join(SACCT_FIELDS.values())
    return [sacct, "--allocations", "--noheader", "--parsable2", f"--delimiter={SEPARATOR}", f"--format={fields}"]


def scancel(tools: Tools, job_ids: Sequence[int], name: str, user: str) -> list[str]:
    """A controller killed at the wrong moment gives a job's id to another job: name and user must fit as well."""
    return [tools.scancel, f"--user={user}", f"--name={name}", *[str(job_id) for job_id in job_ids]]


def tail(path: str, most_bytes: int) -> list[str]:
    return ["tail", f"--bytes={most_bytes}", "--", path]
