# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller as the manager sees it: its files, Slurm's commands, the service's jobs. Does the input and output."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import time
import typing as t
from functools import cached_property

from ansible_collections.llmops.cluster.plugins.module_utils._manager import records, scripts
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    KEY,
    NO_SLURM,
    UNKNOWN,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.who import Caller
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import meant
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.connect import (
    BINARY_DIRECTORIES,
    find_account,
    find_tools,
    read_script,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.lock import job_locks, lock_paths
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.manage import JobManager
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import build_spec
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import Order
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import JobWatch
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.address import base_url, key_problem, url_problem

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.records import Record
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.scripts import Kind, Script
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.settings import Settings

# Somebody waits at a terminal: less patience with a controller that is away than a playbook has.
PATIENCE = 20.0
POLL_SECONDS = 1.0
LONGEST_RECORD = 1024 * 1024


class Finder:
    """What the shared code asks of a module, which the manager is not: where a command is."""

    def get_bin_path(self, name: str, required: bool = False, opt_dirs: list[str] | None = None) -> str | None:
        path = ":".join([*(opt_dirs or []), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        found = shutil.which(name, path=path)
        if found is None and required:
            raise ManagerError(
                f"Looking for Slurm's command {name} failed: it is not on this host. The manager runs on the "
                "controller, after the playbook site.yml.",
                NO_SLURM,
            )
        return found

    def as_module(self) -> AnsibleModule:
        return t.cast("AnsibleModule", self)


class Host:
    """`full`: whether this process may read what belongs to the service."""

    def __init__(self, settings: Settings, *, full: bool) -> None:
        self.settings = settings
        self.full = full
        self.finder = Finder()

    @cached_property
    def client(self) -> SlurmClient:
        """Slurm as this process's own user sees it; that is the service user wherever something is changed."""
        account = find_account(None)
        return SlurmClient(find_tools(self.finder.as_module(), account), account, os.environ, patience=PATIENCE)

    def srun(self) -> str | None:
        return self.finder.get_bin_path("srun", opt_dirs=BINARY_DIRECTORIES)

    def sinfo(self) -> str | None:
        return self.finder.get_bin_path("sinfo", opt_dirs=BINARY_DIRECTORIES)

    def manager(self, names: t.Sequence[str], *, dry_run: bool) -> JobManager:
        """The very order of things of the module slurm_job."""
        user = self.settings.user
        watch = JobWatch(self.client, {}, POLL_SECONDS)
        paths = [] if dry_run else lock_paths(f"{user}:{name}" for name in names)
        what = f"the job {names[0]} of {user}" if len(names) == 1 else f"{len(names)} jobs of {user}"
        return JobManager(self.client, watch, dry_run, lock=lambda: job_locks(paths, what=what))

    def order(self, script: Script, *, args: t.Sequence[str] = (), name: str | None = None) -> Order:
        """The job as the role vllm_jobs orders it: by the same parts, and so with the same key."""
        spec = build_spec(
            name=name or script.job_name,
            user=self.settings.user,
            script=script.text,
            script_path=script.path,
            chdir=self.settings.jobs_dir,
            args=args,
        )
        return Order(spec, spec.key(self.client.cluster_name()), script.path)

    def script_names(self) -> dict[Kind, list[str]]:
        found: dict[Kind, list[str]] = {"serve": [], "batch": []}
        try:
            names = sorted(os.listdir(self.settings.jobs_dir))
        except OSError:
            return found
        for name in names:
            one = scripts.script_name(name)
            if one is not None:
                found[one[0]].append(one[1])
        return found

    def script(self, kind: Kind, name: str) -> Script:
        known = self.script_names()[kind]
        if name not in known:
            raise scripts.no_such_model(name, known, meant(name, known), self.settings.jobs_dir)
        path = f"{self.settings.jobs_dir}/{kind}_{name}.sh"
        return scripts.parse_script(read_script(path), path)

    def script_that_answers(self, name: str) -> Script:
        """The serving script of a model, or the one whose engine answers to this name too: an adapter's, for one."""
        known = self.script_names()["serve"]
        if name not in known:
            for script in (self.script("serve", one) for one in known):
                if name in script.served:
                    return script
        return self.script("serve", name)

    def record(self, name: str) -> Record:
        try:
            with open(f"{self.settings.models_dir}/{name}.json", encoding="utf-8") as handle:
                return records.parse_record(handle.read(LONGEST_RECORD), name)
        except (OSError, UnicodeDecodeError):
            return records.Record(name)

    def own_endpoint(self, given: str | None) -> str | None:
        """The address that the user names, without /v1; None where the endpoint record shall tell."""
        url = given or os.environ.get("OPENAI_BASE_URL") or None
        if url is None:
            return None
        if problem := url_problem(base_url(url, None, None)):
            raise ManagerError(f"The address {'of --base-url' if given else 'in OPENAI_BASE_URL'} {problem}.", KEY)
        return base_url(url, None, None)

    def service_key(self) -> str | None:
        """The key that the service's own engines were started with, for them alone."""
        path = self.settings.api_key_file if self.full else ""
        if not path:
            return None
        try:
            return _read_key(path)
        except FileNotFoundError:
            return None

    def own_key(self, given_file: str | None) -> str | None:
        """The key that the user gives: in a file, else in OPENAI_API_KEY; never as an argument."""
        if given_file is None:
            key = os.environ.get("OPENAI_API_KEY")
            return _usable(key, "OPENAI_API_KEY") if key else None
        try:
            return _read_key(given_file)
        except FileNotFoundError:
            message = f"Reading the API key from {given_file} failed: there is no such file."
            raise ManagerError(message, UNKNOWN) from None


def _read_key(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as handle:
            return _usable(handle.read().strip(), path)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ManagerError(f"Reading the API key from {path} failed: {cause}.", KEY) from error


def _usable(key: str, source: str) -> str:
    if problem := key_problem(key):
        raise ManagerError(f"Using the API key from {source} failed: {problem}.", KEY)
    return key


def caller() -> Caller:
    """The user of this process, with the groups of the account."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    groups = set()
    for gid in {os.getegid(), *os.getgroups()}:
        with contextlib.suppress(KeyError):
            groups.add(grp.getgrgid(gid).gr_name)
    return Caller(name, uid, frozenset(groups))


def now() -> float:
    return time.time()
