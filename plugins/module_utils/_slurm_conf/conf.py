# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of slurm.conf. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import (
    Fault,
    SlurmConfError,
    raise_faults,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import FILES
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import Table, normal, pair
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import Shapes, node_lines, read_nodes
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.partitions import partition_lines
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.scale import derived
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.tables import ELSEWHERE, REPEATED, SETTINGS
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.values import plain

_WHAT = "slurm.conf"
_DOING = f"Rendering {_WHAT} failed: "
_TABLE: t.Final = Table({**dict.fromkeys(SETTINGS), **FILES[_WHAT]})
_ELSEWHERE: t.Final = {normal(key): where for key, where in ELSEWHERE.items()}


class Settings(t.NamedTuple):
    """Effective settings as text, what is wrong with them, and why those are there that nobody gave."""

    texts: dict[str, list[str]]
    faults: list[str]
    reasons: dict[str, str]

    def one(self, key: str) -> str:
        """The text of a setting that has one line; empty where it is not set."""
        return self.texts.get(key, [""])[0]


def _texts(key: str, value: t.Any) -> list[str]:
    several = key in REPEATED and isinstance(value, Sequence) and not isinstance(value, str)
    return [_TABLE.text(key, item) for item in (value if several else [value])]


def read_settings(settings: t.Any, nodes: int = 0, version: str | None = None) -> Settings:
    """The settings over the defaults: known keys in the table's order, others behind them by name, null ones gone."""
    if not isinstance(settings, Mapping):
        raise SlurmConfError(f"{_DOING}settings must be a dictionary, {type(settings).__name__} found.")
    elsewhere = {key: _ELSEWHERE[normal(key)] for key in settings if isinstance(key, str) and normal(key) in _ELSEWHERE}
    faults = [f"{key} has no place in settings; use {where}." for key, where in elsewhere.items()]
    given, wrong = _TABLE.read({key: value for key, value in settings.items() if key not in elsewhere}, version)
    faults += wrong
    scaled = {key: both for key, both in derived(nodes).items() if key not in given}
    ours = {**SETTINGS, **{key: value for key, (value, _why) in scaled.items()}}
    extra = {key: given[key] for key in sorted(given) if key not in SETTINGS}
    texts: dict[str, list[str]] = {}
    for key, value in {**ours, **{key: given[key] for key in given if key in SETTINGS}, **extra}.items():
        try:
            texts |= {key: _texts(key, value)} if value is not None else {}
        except SlurmConfError as error:
            faults.append(str(error))
    return Settings(texts, faults, {key: f"{nodes} nodes: {why}" for key, (_value, why) in scaled.items()})


def _needed(settings: Settings) -> list[str]:
    faults = [
        f"{key} is missing in settings. Slurm cannot start without it."
        for key in ("ClusterName", "SlurmctldHost")
        if not settings.texts.get(key)
    ]
    message, unkillable = settings.one("MessageTimeout") or "10", settings.one("UnkillableStepTimeout")
    if message.isdigit() and unkillable.isdigit() and int(unkillable) < 5 * int(message):
        faults.append(
            f"UnkillableStepTimeout is {unkillable}; allowed is at least {5 * int(message)}, five times "
            "MessageTimeout, for a shorter one drains nodes (slurm.conf(5))."
        )
    if "gres/" in settings.one("AccountingStorageTRES") and not settings.one("AccountingStorageType").endswith("dbd"):
        faults.append(
            f"AccountingStorageTRES is {settings.one('AccountingStorageTRES')!r}, for which slurmctld wants "
            "AccountingStorageType accounting_storage/slurmdbd. Set both, or both to null."
        )
    return faults


def gres_types_faults(types: str, tracked: str, used: Mapping[str, list[str]], *, given: bool) -> list[str]:
    """GresTypes and what is on the nodes must be the same; `used` is resource -> some of its nodes.

    A default of ours that no node uses is harmless, a type that somebody wrote and no node has is a mistake.
    """
    known = [one.strip() for one in types.split(",") if one.strip()]
    faults = [
        f"the node {nodes[0]} has gres {name}, which GresTypes ({types or 'not set'}) does not name. Add it there."
        for name, nodes in used.items()
        if name not in known
    ]
    if given:
        faults += [
            f"GresTypes has {name}, which no node has. Take it out, or give it in a node's gres."
            for name in known
            if name not in used
        ]
    faults += [
        f"AccountingStorageTRES has {one}, which GresTypes ({types or 'not set'}) does not name. Add it there."
        for one in tracked.split(",")
        if one.startswith("gres/") and one[5:].split(":")[0] not in known
    ]
    return faults


def used_gres(nodes: Shapes) -> dict[str, list[str]]:
    """Resource -> the nodes of a shape that has it."""
    return {one.name: shape.names for shape in reversed(nodes.shapes) for one in shape.gres}


def _setting_lines(settings: Settings) -> list[str]:
    lines = []
    for key, texts in settings.texts.items():
        lines += [f"# {settings.reasons[key]}"] if key in settings.reasons else []
        lines += [pair(key, text) for text in texts]
    return lines


def merged_settings(settings: t.Any, nodes: int = 0) -> dict[str, str]:
    """Effective settings as text; those with several lines joined by commas."""
    read = read_settings(settings, nodes)
    raise_faults(Fault("settings", "", fault) for fault in read.faults)
    return {key: plain(texts) for key, texts in read.texts.items()}


class Plan(t.NamedTuple):
    """All that slurm.conf is made of, and what is wrong with it."""

    settings: Settings
    nodes: Shapes
    partitions: list[str]
    faults: list[Fault]


def plan(
    settings: t.Any,
    nodes: t.Any,
    partitions: t.Any,
    partition_defaults: t.Any = None,
    version: str | None = None,
    configure_flags: Iterable[str] | None = None,
    more_gres: Iterable[str] = (),
) -> Plan:
    """Everything checked; `more_gres` are resources that nodes may turn out to have."""
    shapes = read_nodes(nodes, version, None if configure_flags is None else list(configure_flags))
    names = shapes.names
    read = read_settings(settings, len(names), version)
    used = {**{name: ["?"] for name in more_gres}, **used_gres(shapes)}
    wrong = [*read.faults, *_needed(read)]
    given = bool(names) and any(_TABLE.spelled(key) == "GresTypes" for key in settings)
    wrong += gres_types_faults(read.one("GresTypes"), read.one("AccountingStorageTRES"), used, given=given)
    lines, faults = partition_lines(partitions, partition_defaults, set(names), version)
    return Plan(read, shapes, lines, [Fault("settings", "", one) for one in wrong] + shapes.faults + faults)


def slurm_conf(
    settings: t.Any,
    nodes: t.Any,
    partitions: t.Any,
    partition_defaults: t.Any = None,
    version: str | None = None,
    configure_flags: Iterable[str] | None = None,
) -> str:
    """Text of slurm.conf; the same input in any order of nodes gives the same text."""
    found = plan(settings, nodes, partitions, partition_defaults, version, configure_flags)
    raise_faults(found.faults)
    blocks = [_setting_lines(found.settings), node_lines(found.nodes), found.partitions]
    return "\n".join("".join(line + "\n" for line in block) for block in blocks if block)
