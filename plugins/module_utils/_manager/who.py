# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, and as whom it is done. Pure.

Jobs, scripts, logs and the API key belong to the service user. Root becomes that user; members of the group that the
role was told of do so through sudo, which runs this program alone; everybody else sees what Slurm shows to everybody
and talks to an engine with an address and a key of their own.
"""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FORBIDDEN, ManagerError

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._manager.settings import Settings

# What works for everybody, if with less to see.
FOR_ALL = frozenset({"status", "doctor", "completion", "names"})
# What works for everybody who brings an address and a key.
WITH_OWN_ADDRESS = frozenset({"chat", "test"})


@dataclass(frozen=True)
class Caller:
    """`groups` by name."""

    name: str
    uid: int
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Access:
    """`become`: the command that runs this program anew as the service user; empty where it stays as it is.

    `full`: whether the service's own files can be read.
    """

    become: tuple[str, ...] = ()
    full: bool = True


def access(
    command: str, caller: Caller, settings: Settings, argv: Sequence[str], *, own_address: bool = False
) -> Access:
    """How `command` is run for `caller`, or the reason why it is not."""
    if caller.name == settings.user or command == "completion":
        return Access()
    if command in WITH_OWN_ADDRESS and own_address:
        return Access(full=False)
    if caller.uid == 0:
        return Access(become=("runuser", "-u", settings.user, "--", settings.program, *argv))
    if settings.group and settings.group in caller.groups:
        return Access(become=("sudo", "-n", "-u", settings.user, "--", settings.program, *argv))
    if command in FOR_ALL:
        return Access(full=False)
    raise ManagerError(_refusal(command, caller, settings, argv), FORBIDDEN)


def _refusal(command: str, caller: Caller, settings: Settings, argv: Sequence[str]) -> str:
    ways = [f"As an administrator: sudo -u {settings.user} vllm-manager {shlex.join(argv)}"]
    if settings.group:
        ways.append(f"members of the group {settings.group} may do it as themselves")
    own = ", or set OPENAI_BASE_URL and OPENAI_API_KEY" if command in WITH_OWN_ADDRESS else ""
    return (
        f"Running {command} as {caller.name} failed: models, jobs, logs and the API key belong to the user "
        f"{settings.user}. {'; '.join(ways)}{own}."
    )
