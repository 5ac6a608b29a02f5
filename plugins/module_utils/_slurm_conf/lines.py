# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of key=value pairs as Slurm reads them. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SECRET_KEY = re.compile(r"pass|secret|token", re.IGNORECASE)


def _plain(value: t.Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_plain(item) for item in value)
    return str(value)


def render_value(key: str, value: t.Any, what: str) -> str:
    """The value as Slurm reads it back; raises where it could not."""
    if isinstance(value, Mapping) or value is None:
        kind = "a dictionary" if value is not None else "nothing"
        raise SlurmConfError(
            f"Rendering {what} failed: {key} is {kind}; allowed are texts, numbers, booleans and lists."
        )
    text = _plain(value)
    found = "(value not shown)" if _SECRET_KEY.search(key) else repr(text)
    if not text or text != text.strip():
        raise SlurmConfError(
            f"Rendering {what} failed: {key} is {found}; allowed is a text with something in it and no "
            "blanks around it. Set the key to null to leave it out."
        )
    # Slurm takes '#' anywhere as the start of a comment and cannot quote it.
    if re.search(r"[\x00-\x1f\x7f#]", text):
        raise SlurmConfError(
            f"Rendering {what} failed: {key} is {found}; line breaks, control characters and '#' cannot be written."
        )
    if " " not in text:
        return text
    if '"' in text:
        raise SlurmConfError(f"Rendering {what} failed: {key} is {found}; blanks and double quotes cannot go together.")
    return f'"{text}"'


def check_key(key: t.Any, what: str) -> str:
    """The key, if it can be one."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise SlurmConfError(
            f"Rendering {what} failed: {key!r} is no key; allowed are letters, digits and '_', the first a letter."
        )
    return key


def pair(key: str, value: t.Any, what: str) -> str:
    """One key=value."""
    return f"{check_key(key, what)}={render_value(key, value, what)}"


def slurm_ini(settings: t.Any, what: str = "a configuration file") -> str:
    """One line a key in the order given, for cgroup.conf, slurmdbd.conf and their like; null leaves a key out."""
    if not isinstance(settings, Mapping):
        raise SlurmConfError(
            f"Rendering {what} failed: settings must be a dictionary, {type(settings).__name__} found."
        )
    return "".join(pair(key, value, what) + "\n" for key, value in settings.items() if value is not None)
