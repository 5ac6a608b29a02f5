# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generic resources of a node: GPUs of several types, MIG, and how gres.conf finds them. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import DEVICE_KEYS
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import Table, pair, too_old
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.values import plain

_NAME = re.compile(r"[A-Za-z0-9_]+")
_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_COUNT = re.compile(r"([0-9]+)([KMGTP]?)", re.IGNORECASE)
# NVIDIA's names of the parts of a GPU: 1g.5gb, 3g.20gb+me.
_MIG = re.compile(r"(?:^|_)[0-9]+g\.[0-9]+gb", re.IGNORECASE)
_UNITS: t.Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_DEVICE: t.Final = Table(DEVICE_KEYS, in_snake=True)
# How slurmd may look for devices, and the release that brought it (gres.conf(5)).
AUTODETECT: t.Final = {"nvml": "", "nvidia": "24.11", "rsmi": "", "oneapi": "", "nrt": "", "full": "26.05"}
_ALLOWED: t.Final = "allowed is 'gpu:2', 'gpu:l4:2' or 'gpu:1g.5gb:7'"


class Gres(t.NamedTuple):
    """So many of a resource; kind is empty where it has no type."""

    name: str
    kind: str
    number: int
    text: str

    @property
    def is_mig(self) -> bool:
        return bool(_MIG.search(self.kind))

    @property
    def label(self) -> str:
        return ":".join(part for part in (self.name, self.kind) if part)


def _one(part: str) -> Gres | None:
    words = part.split(":")
    count = _COUNT.fullmatch(words[-1]) if len(words) > 1 else None
    kinds = [word for word in (words[1:-1] if count else words[1:]) if word != "no_consume"]
    if not _NAME.fullmatch(words[0]) or len(kinds) > 1 or not all(_TYPE.fullmatch(kind) for kind in kinds):
        return None
    number = int(count.group(1)) * _UNITS[count.group(2).upper()] if count else 1
    return Gres(words[0], kinds[0] if kinds else "", number, part) if number else None


def parse_gres(value: t.Any) -> tuple[list[Gres], list[str]]:
    """The resources of a gres value, a text or a list, and what is wrong with it."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    resources: list[Gres] = []
    faults = []
    for part in parts:
        resource = _one(part.strip()) if isinstance(part, str) else None
        if resource is None:
            faults.append(f"gres is {part!r}; {_ALLOWED}.")
        elif any(resource.label == other.label for other in resources):
            faults.append(f"gres has {resource.label} twice. Give one number.")
        else:
            resources.append(resource)
    return resources, faults


def autodetect_of(node: Mapping[str, t.Any]) -> str:
    """How slurmd looks for the node's devices; empty for not at all."""
    value = node.get("gres_autodetect")
    # YAML reads off without quotes as a boolean.
    return "" if value in (None, False, "", "off") else plain(value)


def autodetect_faults(
    how: str, resources: Sequence[Gres], state: str, version: str | None, flags: Sequence[str] | None
) -> list[str]:
    """Why slurmd may not look for devices in this way on this node."""
    if not how:
        return []
    if how not in AUTODETECT:
        return [f"gres_autodetect is {how!r}; allowed are {', '.join(AUTODETECT)} and off."]
    faults = []
    if state.upper() == "CLOUD":
        faults.append(f"gres_autodetect is {how}, but a node of state CLOUD cannot be asked (gres.conf(5)). Use off.")
    if version and too_old(version, AUTODETECT[how]):
        faults.append(f"gres_autodetect {how} needs Slurm {AUTODETECT[how]} or newer, slurm_version is {version}.")
    if how == "nvidia" and any(one.is_mig for one in resources):
        faults.append("gres_autodetect nvidia finds no MIG devices (gres.conf(5)). Use nvml, or off with gres_devices.")
    if how == "nvml" and flags is not None and not any(flag.startswith("--with-nvml") for flag in flags):
        faults.append(
            "gres_autodetect nvml needs a Slurm built with NVML. Add --with-nvml to slurm_configure_flags, or use "
            "nvidia."
        )
    return faults


def _files(text: str) -> int:
    """How many devices a File= names."""
    return len(expand_hostlist(text))


def _device_line(device: t.Any, resources: Sequence[Gres], have: dict[str, int]) -> tuple[list[str], list[str]]:
    if not isinstance(device, Mapping):
        return [], [f"gres_devices has {device!r}; a dictionary with type and file is needed."]
    values, faults = _DEVICE.read({"name": "gpu", **device})
    words: list[str] = []
    texts: dict[str, str] = {}
    for key, value in values.items():
        if value is not None:
            try:
                texts[key] = _DEVICE.text(key, value, f"gres_devices.{key.lower()}")
                words.append(pair(key, texts[key]))
            except SlurmConfError as error:
                faults.append(str(error))
    if "File" in texts and "MultipleFiles" in texts:
        faults.append("gres_devices has file and multiple_files on one line; use multiple_files for a MIG device.")
    label = ":".join(texts[key] for key in ("Name", "Type") if key in texts)
    if label not in [one.label for one in resources]:
        faults.append(f"gres_devices has {label}, which gres has not. Give it a number there.")
    count = texts.get("Count", "")
    have[label] = have.get(label, 0) + (
        int(count) if count.isdigit() else _files(texts["File"]) if "File" in texts else 1
    )
    return words, faults


def _given_devices(devices: t.Any, resources: Sequence[Gres]) -> tuple[list[list[str]], list[str]]:
    if not isinstance(devices, Sequence) or isinstance(devices, str):
        return [], ["gres_devices must be a list of dictionaries."]
    have: dict[str, int] = {}
    lines, faults = [], []
    for device in devices:
        words, wrong = _device_line(device, resources, have)
        lines.append(words)
        faults += wrong
    for one in resources:
        if not faults and have.get(one.label, 0) != one.number:
            faults.append(f"gres has {one.number} of {one.label}, gres_devices has {have.get(one.label, 0)}.")
    return lines, faults


def _numbered_devices(resources: Sequence[Gres]) -> tuple[list[list[str]], list[str]]:
    """Without a word about files GPUs are NVIDIA's, numbered from 0 in the order of gres."""
    lines, faults, first = [], [], 0
    for one in resources:
        words = [pair("Name", one.name)] + ([pair("Type", one.kind)] if one.kind else [])
        if one.is_mig:
            faults.append(
                f"gres has the MIG device {one.label}, whose files nobody can guess. Use gres_autodetect nvml, or name "
                "them in gres_devices (multiple_files)."
            )
        elif one.name == "gpu":
            span = str(first) if one.number == 1 else f"[{first}-{first + one.number - 1}]"
            words.append(f"File=/dev/nvidia{span}")
            first += one.number
        else:
            words.append(f"Count={one.number}")
        lines.append(words)
    return lines, faults


def device_lines(node: Mapping[str, t.Any], resources: Sequence[Gres]) -> tuple[list[list[str]], list[str]]:
    """What follows NodeName= on each line of a node, and what is wrong with it."""
    how, file, devices = autodetect_of(node), node.get("gres_file"), node.get("gres_devices")
    if sum(bool(one) for one in (how, file, devices)) > 1:
        return [], ["gres_autodetect, gres_file and gres_devices are three ways to say the same. Keep one."]
    if how:
        return [[pair("AutoDetect", how)]], []
    if devices:
        return _given_devices(devices, resources)
    if file and len(resources) != 1:
        return [], [
            f"gres_file goes with exactly one resource, {len(resources)} found in gres. Use gres_autodetect or "
            "gres_devices."
        ]
    if file:
        one = resources[0]
        words = [pair("Name", one.name)] + ([pair("Type", one.kind)] if one.kind else [])
        count = _files(plain(file))
        wrong = [] if count == one.number else [f"gres has {one.number} of {one.label}, gres_file names {count}."]
        return [[*words, pair("File", _DEVICE.text("File", file, "gres_file"))]], wrong
    return _numbered_devices(resources)
