# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of rendering Slurm's configuration. Private to this collection."""

from __future__ import annotations

import typing as t


class SlurmConfError(Exception):
    """What was given cannot be written as configuration of Slurm."""


class Fault(t.NamedTuple):
    """What is wrong with which part: `about` is a key of the words below, `which` the names of nodes or a partition."""

    about: str
    which: str
    text: str


# How a fault is told where text is rendered, and where variables are checked before that.
RENDERING: t.Final = {
    "settings": "Rendering slurm.conf failed: {text}",
    "nodes": "Rendering nodes failed: {text}",
    "node": "Rendering the node {which} failed: {text}",
    "partitions": "Rendering partitions failed: {text}",
    "partition": "Rendering the partition {which} failed: {text}",
}
VARIABLES: t.Final = {
    "settings": "slurm_settings: {text}",
    "nodes": "slurm_compute_hosts: {text}",
    "node": "slurm_node_settings of {which}: {text}",
    "partitions": "slurm_partitions: {text}",
    "partition": "slurm_partitions, {which}: {text}",
}


def told(faults: t.Iterable[Fault], words: t.Mapping[str, str]) -> list[str]:
    """A sentence for each fault, each once."""
    return list(dict.fromkeys(words[fault.about].format(which=fault.which, text=fault.text) for fault in faults))


def raise_faults(faults: t.Iterable[Fault]) -> None:
    """All faults in one message, each on a line of its own."""
    lines = told(faults, RENDERING)
    if lines:
        raise SlurmConfError("\n".join(lines))
