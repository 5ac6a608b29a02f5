# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models and GPUs for the tests of plans."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import (
    Architecture,
    read_architecture,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import Choice, choose
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import Group, read_groups
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish

FOLDER = Path(__file__).parents[3] / "fixtures" / "model-configs"


def config(name: str) -> dict[str, t.Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def model(name: str, **changes: t.Any) -> Architecture:
    return read_architecture({**config(name), **changes})


def group(nodes: int, gpus: int, kind: str, **more: t.Any) -> Group:
    return read_groups([{"nodes": nodes, "gpus": gpus, "type": kind, **more}])[0]


def chosen(name: str, groups: Group, *, fixed: dict[str, int] | None = None, **wish: t.Any) -> Choice:
    return choose(model(name), Wish(**wish), None, [groups], fixed or {})
