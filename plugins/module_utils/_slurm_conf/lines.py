# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries of keys and values, told apart as Slurm does: without regard to case. Private to this collection."""

from __future__ import annotations

import difflib
import functools
import re
import typing as t
from collections.abc import Mapping

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import FILES, LINE_SINCE, SINCE, TEXT
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.values import (
    RefusedError,
    found,
    quoted,
    written,
)

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def normal(key: str) -> str:
    """One spelling for max_time, MaxTime and maxtime."""
    return key.replace("_", "").lower()


@functools.cache
def snake(key: str) -> str:
    """Slurm's MaxCPUsPerNode as people write it in YAML: max_cpus_per_node."""
    return _WORDS.sub("_", key.replace("CPUs", "Cpus")).lower()


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])


def too_old(version: str, since: str) -> bool:
    """Whether a version of Slurm is older than a release."""
    return bool(since) and _release(version) < _release(since)


class Table:
    """The keys of a file or of a line, with what their values may be."""

    def __init__(
        self, kinds: Mapping[str, t.Any], *, aliases: Mapping[str, str] | None = None, in_snake: bool = False
    ) -> None:
        self.kinds = kinds
        # Lines are written in snake case, files by Slurm's own names.
        self._since = LINE_SINCE if in_snake else SINCE
        self._spelled = {normal(key): key for key in kinds}
        self._spelled.update(aliases or {})
        self._shown = {normal(key): snake(key) if in_snake else key for key in kinds}
        # The first other word for a key is the one that is documented.
        self._shown.update({normal(key): word for word, key in reversed(list((aliases or {}).items()))})

    def spelled(self, key: t.Any) -> str | None:
        """Slurm's own spelling of a key, however it was written."""
        return self._spelled.get(normal(key)) if isinstance(key, str) else None

    def shown(self, key: str) -> str:
        """A key of Slurm as people write it here."""
        return self._shown.get(normal(key), key)

    def unknown(self, key: t.Any) -> str:
        """The fault of a key that is not in the table."""
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            return f"{key!r} is no key; allowed are letters, digits and '_', the first a letter."
        near = difflib.get_close_matches(normal(key), self._spelled, n=1, cutoff=0.7)
        if not near:
            return f"there is no key {key}; Slurm 24.11 to 26.05 know none like it."
        return f"there is no key {key}. Did you mean {self._shown.get(near[0], snake(self._spelled[near[0]]))}?"

    def read(self, given: Mapping[t.Any, t.Any], version: str | None = None) -> tuple[dict[str, t.Any], list[str]]:
        """The values by Slurm's spelling in the table's order, null ones included, and what is wrong with the keys."""
        values: dict[str, t.Any] = {}
        faults: list[str] = []
        for key, value in given.items():
            name = self.spelled(key)
            if name is None:
                faults.append(self.unknown(key))
            elif name in values:
                other = next(one for one in given if self.spelled(one) == name)
                faults.append(f"{name} is set twice, as {other} and as {key}. Keep one.")
            else:
                values[name] = value
                since = self._since.get(name, "") if value is not None else ""
                if version and too_old(version, since):
                    faults.append(f"{key} needs Slurm {since} or newer, slurm_version is {version}.")
        return {name: values[name] for name in self.kinds if name in values}, faults

    def text(self, name: str, value: t.Any, shown: str = "") -> str:
        """The value as text; SlurmConfError with the fault."""
        try:
            return written(value, self.kinds.get(name, TEXT))
        except RefusedError as error:
            verb = f"{shown or name} is {found(name, value)}; {error}."
            raise SlurmConfError(verb) from None


def pair(key: str, text: str) -> str:
    """One key=value."""
    return f"{key}={quoted(text)}"


def merge(defaults: t.Any, given: t.Any) -> dict[str, t.Any]:
    """Given values over defaults, keys compared as Slurm does; the spelling of the defaults stays."""
    for one in (defaults, given):
        if not isinstance(one, Mapping):
            raise SlurmConfError(f"Merging settings failed: a dictionary is needed, {type(one).__name__} found.")
    merged = dict(defaults)
    spelling = {normal(str(key)): key for key in defaults}
    taken: set[str] = set()
    for key, value in given.items():
        name = normal(str(key))
        # A second spelling stays beside the first, so that rendering refuses it.
        merged[spelling.get(name, key) if name not in taken else key] = value
        taken.add(name)
    return merged


def slurm_ini(settings: t.Any, what: str = "a configuration file", version: str | None = None) -> str:
    """One line a key in the order given, for cgroup.conf, slurmdbd.conf and their like; null leaves a key out."""
    doing = f"Rendering {what} failed: "
    if not isinstance(settings, Mapping):
        raise SlurmConfError(f"{doing}settings must be a dictionary, {type(settings).__name__} found.")
    lines, faults = ini_lines(settings, what, version)
    if faults:
        raise SlurmConfError("\n".join(f"{doing}{fault}" for fault in faults))
    return "".join(line + "\n" for line in lines)


def ini_lines(settings: Mapping[t.Any, t.Any], what: str, version: str | None) -> tuple[list[str], list[str]]:
    """The lines of such a file and what is wrong with them."""
    keys = FILES.get(what)
    # A file that has no table here: any key may be.
    table = Table(keys if keys else {key: TEXT for key in settings if isinstance(key, str) and _KEY.fullmatch(key)})
    values, faults = table.read(settings, version)
    given = {name: values[name] for name in (table.spelled(key) for key in settings) if name}
    lines = []
    for name, value in given.items():
        if value is None:
            continue
        try:
            lines.append(pair(name, table.text(name, value)))
        except SlurmConfError as error:
            faults.append(str(error))
    return lines, faults
