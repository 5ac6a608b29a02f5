# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook wrote down of each model beside its scripts: for people, and for planning. Pure."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Record:
    """`wanted`: the entry of the catalogue, with the defaults and the site's overrides and without the plan's sizes."""

    name: str
    wanted: dict[str, t.Any] = field(default_factory=dict)
    about: dict[str, t.Any] | None = None
    site: dict[str, t.Any] = field(default_factory=dict)

    def text(self, key: str) -> str:
        value = self.wanted.get(key)
        return "" if value is None else str(value)


def parse_record(text: str, name: str) -> Record:
    """An empty record of what cannot be read: it only adds to what the scripts say."""
    try:
        value = json.loads(text)
    except ValueError:
        return Record(name)
    if not isinstance(value, dict):
        return Record(name)
    about = value.get("about")
    return Record(
        name,
        wanted=_dictionary(value.get("wanted")),
        about=about if isinstance(about, dict) else None,
        site=_dictionary(value.get("site")),
    )


def _dictionary(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}
