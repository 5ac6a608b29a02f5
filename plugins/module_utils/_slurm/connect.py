# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share: whose jobs, which commands, and keeping secrets out of results."""

from __future__ import annotations

import contextlib
import os
import pwd
import tempfile
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.command import Account, Tools
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SpecError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import secret_values

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible.module_utils.basic import AnsibleModule

# Where a Slurm built from source has its commands, beside the directories of PATH.
BINARY_DIRECTORIES = ["/opt/slurm/current/bin", "/usr/local/bin"]
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def find_account(user: str | None) -> Account:
    """The user of the job: the one named, else the one this runs as."""
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise SpecError(
            f"There is no user {user!r} on this host. Make the account first, with the same uid on every host."
        ) from error
    if os.geteuid() not in (0, entry.pw_uid):
        me = pwd.getpwuid(os.geteuid()).pw_name
        raise SpecError(
            f"Acting as the user {entry.pw_name} failed: this module runs as {me}. "
            f"Use become with root or {entry.pw_name}, or leave out the option user."
        )
    login = not entry.pw_shell.endswith(("/nologin", "/false"))
    return Account(name=entry.pw_name, home=entry.pw_dir, shell=entry.pw_shell if login else "/bin/sh")


def find_tools(module: AnsibleModule, account: Account) -> Tools:
    def path(name: str, *, required: bool = True) -> str | None:
        return module.get_bin_path(name, required=required, opt_dirs=BINARY_DIRECTORIES)

    other_user = os.geteuid() == 0 and account.name != "root"
    return Tools(
        sbatch=path("sbatch") or "",
        squeue=path("squeue") or "",
        scontrol=path("scontrol") or "",
        scancel=path("scancel") or "",
        sacct=path("sacct", required=False),
        runuser=path("runuser") if other_user else None,
    )


def slurm_is_here(module: AnsibleModule) -> bool:
    return module.get_bin_path("sbatch", opt_dirs=BINARY_DIRECTORIES) is not None


def open_client(module: AnsibleModule, account: Account) -> SlurmClient:
    return SlurmClient(find_tools(module, account), account, os.environ)


def hide_environment(module: AnsibleModule) -> list[dict[str, t.Any]]:
    """Take the jobs' environments out of the parameters; what is left there may be shown.

    The first is that of the task, the others are those of its `jobs`. The option is no_log, which keeps it out of the
    system's log. But no_log also blanks every value wherever it occurs in the result, and a variable set to 1 would
    blank the job's id: so only values that are secrets stay on that list.
    """
    places = [module.params, *(module.params["jobs"] or [])]
    environments: list[dict[str, t.Any]] = [place["environment"] or {} for place in places]
    for place, environment in zip(places, environments):
        texts = {str(name): str(value) for name, value in environment.items()}
        module.no_log_values -= set(texts.values()) - set(secret_values(texts))
        place["environment"] = dict.fromkeys(environment, HIDDEN)
    for environment in environments:
        module.no_log_values |= set(secret_values({str(name): str(value) for name, value in environment.items()}))
    return environments


@contextlib.contextmanager
def script_file(name: str, content: str, account: Account) -> Iterator[str]:
    """A file of the job's user that holds a script given as text: sbatch takes arguments only after a path."""
    directory = tempfile.mkdtemp(prefix="llmops-slurm-")
    path = os.path.join(directory, f"{name}.sh")
    owner = pwd.getpwnam(account.name)
    try:
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
        ) as handle:
            handle.write(content)
        if os.geteuid() == 0:
            for place in (path, directory):
                os.chown(place, owner.pw_uid, owner.pw_gid)
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.rmdir(directory)


def read_script(path: str) -> str:
    if not path.startswith("/"):
        raise SpecError(f"script {path!r} is not an absolute path.")
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return handle.read()
    except OSError as error:
        raise SpecError(f"Reading the script {path} failed: {error.strerror}. It must be on the host.") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"Reading the script {path} failed: it is not UTF-8 text.") from error
