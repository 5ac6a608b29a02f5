# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema as tables of a manual page. Private to this collection."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import Key
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import empty_value


def _default(key: Key) -> str:
    if key.required:
        return "**required**"
    value: t.Any = empty_value(key)
    return "" if value is None else f"`{json.dumps(value)}`"


def markdown_table(table: Mapping[str, Key], prefix: str = "") -> str:
    """One line a key: name, type, default, what is allowed, what it does."""
    lines = ["| key | type | default | allowed | meaning | from |", "|---|---|---|---|---|---|"]
    for key in table.values():
        unit = f" Unit: {key.unit}." if key.unit else ""
        cells = [f"`{prefix}{key.name}`", key.type, _default(key), key.allows(), key.description + unit, key.source]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
