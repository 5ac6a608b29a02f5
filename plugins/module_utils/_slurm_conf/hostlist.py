# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's host lists: node[001-100] and back. Private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# Slurm wants the range at the end of a name, so names that end otherwise stand alone.
_NUMBERED = re.compile(r"(.*[^0-9])([0-9]+)")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")
# Slurm's own limit of nodes in one host list; also keeps a typing error such as n[1-999999999] harmless.
MAX_HOSTS = 65536


class _Run(t.NamedTuple):
    """Neighbouring names: all the digits from first to last behind one prefix."""

    prefix: str
    first: str
    last: str


def _follows(last: str, digits: str) -> bool:
    """Whether the digits are the next number after last, written as Slurm would count on."""
    if int(digits) != int(last) + 1:
        return False
    grows_by_a_digit = len(digits) == len(last) + 1 and set(last) == {"9"}
    return len(digits) == len(last) or grows_by_a_digit


def _runs(names: t.Iterable[str]) -> list[_Run]:
    runs: list[_Run] = []
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if not match:
            runs.append(_Run(name, "", ""))
            continue
        prefix, digits = match.groups()
        run = runs[-1] if runs else None
        # A run that began with a padded number has a fixed width: 099 is followed by 100, but 99 behind 08 by nothing.
        if (
            run
            and run.first
            and run.prefix == prefix
            and _follows(run.last, digits)
            and (len(digits) == len(run.last) or len(run.first) == 1 or not run.first.startswith("0"))
        ):
            runs[-1] = run._replace(last=digits)
        else:
            runs.append(_Run(prefix, digits, digits))
    return runs


def _written(runs: list[_Run]) -> str:
    """Runs as text, neighbours with the same prefix in one pair of brackets."""
    parts: list[str] = []
    index = 0
    while index < len(runs):
        prefix, first, last = runs[index]
        ranges = [] if not first else [first if first == last else f"{first}-{last}"]
        index += 1
        while first and index < len(runs) and runs[index].first and runs[index].prefix == prefix:
            run = runs[index]
            ranges.append(run.first if run.first == run.last else f"{run.first}-{run.last}")
            index += 1
        alone = len(ranges) == 1 and "-" not in ranges[0]
        parts.append(prefix + ("" if not ranges else ranges[0] if alone else f"[{','.join(ranges)}]"))
    return ",".join(parts)


def compress(names: t.Iterable[str]) -> str:
    """The names as one host list in the order given, each as often as given: for lists that go with another list."""
    return _written(_runs(names))


def is_host(name: str) -> bool:
    """Whether this can be the name of a host, which for Linux has 64 characters at most."""
    return len(name) <= 64 and bool(_NAME.fullmatch(name))


def _checked(names: t.Any) -> list[str]:
    if isinstance(names, str):
        raise SlurmConfError(f"Compressing host names failed: a list is needed, the text {names!r} found.")
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SlurmConfError(
                f"Compressing host names failed: {name!r} is no host name. "
                "Allowed are letters, digits, '.', '_' and '-'."
            )
    return list(dict.fromkeys(names))


def natural(name: str) -> tuple[str, int, int, str]:
    """A sort key that puts n2 before n10 and keeps unlike widths apart."""
    match = _NUMBERED.fullmatch(name)
    if not match:
        return (name, -1, 0, name)
    prefix, digits = match.groups()
    return (prefix, 0, len(digits), digits)


def hostlist(names: t.Any) -> str:
    """The shortest host list of these names, each once.

    Prefixes come in the order of their first name, numbers in ascending order, so the order within a prefix does not
    change the result.
    """
    groups: dict[str, list[str]] = {}
    for name in _checked(names):
        match = _NUMBERED.fullmatch(name)
        groups.setdefault(match.group(1) if match else name, []).append(name)
    return compress(name for group in groups.values() for name in sorted(group, key=natural))


def _split(text: str) -> list[str]:
    """Parts between commas that stand outside brackets."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if depth not in (0, 1):
            raise SlurmConfError(f"Expanding the host list {text!r} failed: its brackets do not match.")
        if char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise SlurmConfError(f"Expanding the host list {text!r} failed: its brackets do not match.")
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def _numbers(ranges: str, text: str) -> list[str]:
    numbers: list[str] = []
    for part in ranges.split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match:
            raise SlurmConfError(f"Expanding the host list {text!r} failed: {part!r} is no number and no range.")
        first, last = match.group(1), match.group(2) or match.group(1)
        if int(last) < int(first) or int(last) - int(first) >= MAX_HOSTS:
            raise SlurmConfError(
                f"Expanding the host list {text!r} failed: the range {part!r} runs backwards or has more than "
                f"{MAX_HOSTS} hosts."
            )
        numbers += [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return numbers


def _expanded(part: str, text: str) -> list[str]:
    """All names of one part; brackets may stand anywhere, the leftmost counts slowest."""
    opening = part.find("[")
    if opening < 0:
        return [part]
    closing = part.index("]", opening)
    tails = _expanded(part[closing + 1 :], text)
    return [part[:opening] + number + tail for number in _numbers(part[opening + 1 : closing], text) for tail in tails]


def expand_hostlist(text: t.Any) -> list[str]:
    """The names a host list stands for, in its order."""
    if not isinstance(text, str):
        raise SlurmConfError(f"Expanding a host list failed: a text is needed, {type(text).__name__} found.")
    names = [name for part in _split(text) for name in _expanded(part, text)]
    if len(names) > MAX_HOSTS:
        raise SlurmConfError(f"Expanding the host list {text!r} failed: it has more than {MAX_HOSTS} hosts.")
    return names
