# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How ssh knows an instance: by its id, and by the host key that EC2 told."""

from __future__ import annotations

import shlex
import typing as t


def arguments(host: t.Mapping[str, str], controller: t.Mapping[str, str] | None = None) -> str:
    """Options of ssh for a host, which is reached through the controller unless it is that one.

    No file of known hosts is kept: KnownHostsCommand (OpenSSH 8.5) hands ssh the one line that it may believe.
    """
    words = _known(host)
    if controller:
        inner = ["ssh", "-W", "[%h]:%p", "-i", controller["key_file"], "-l", controller["user"], *_known(controller)]
        # ssh expands %h and %p of the outer host, so those of the inner command stand twice.
        command = " ".join(_quote(word) for word in [*inner, controller["address"]])
        words += ["-o", f"ProxyCommand={command}"]
    return " ".join(shlex.quote(word) for word in words)


def _known(host: t.Mapping[str, str]) -> list[str]:
    line = f"{host['instance_id']} {host['host_key']}"
    return [
        *("-o", f"HostKeyAlias={host['instance_id']}"),
        *("-o", f'KnownHostsCommand=/bin/echo "{line}"'),
        *("-o", "UserKnownHostsFile=none"),
        *("-o", "GlobalKnownHostsFile=none"),
        *("-o", "StrictHostKeyChecking=yes"),
    ]


def _quote(word: str) -> str:
    """For the shell that runs ProxyCommand."""
    return word if word == "[%h]:%p" else shlex.quote(word)
