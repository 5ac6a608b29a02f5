# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A launch template that has the data that it shall have: read, compare, write."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._diff import DifferenceTracker


class Found(t.NamedTuple):
    """A launch template as EC2 has it."""

    template_id: str
    version: int
    data: dict[str, t.Any]
    tags: dict[str, str]


class Client(t.Protocol):
    """What is asked of EC2; see aws_launch_template.py for the one that asks."""

    def find(self, name: str) -> Found | None: ...
    def create(self, name: str, data: dict[str, t.Any], tags: dict[str, str]) -> Found: ...
    def add_version(self, template_id: str, data: dict[str, t.Any]) -> int: ...
    def set_tags(self, template_id: str, tags: dict[str, str]) -> None: ...
    def delete(self, template_id: str) -> None: ...


class Outcome(t.NamedTuple):
    """What became of it."""

    template_id: str
    version: int
    changes: DifferenceTracker


def normal(value: t.Any) -> t.Any:
    """Data whose lists of tags and groups have one order, for EC2 keeps none of them."""
    if isinstance(value, dict):
        return {key: normal(one) for key, one in sorted(value.items()) if one not in (None, [], {})}
    if isinstance(value, list):
        made = [normal(one) for one in value]
        return sorted(made, key=lambda one: json.dumps(one, sort_keys=True))
    return value


def present(client: Client, name: str, data: dict[str, t.Any], tags: dict[str, str], check_mode: bool) -> Outcome:
    """The template has the data as its default version, and at least the tags."""
    changes = DifferenceTracker()
    found = client.find(name)
    before, after = normal(found.data) if found else {}, normal(data)
    for key in sorted({*before, *after}):
        changes.add(key, before.get(key), after.get(key))
    data_differs = not changes.empty
    missing = {key: value for key, value in tags.items() if not found or found.tags.get(key) != value}
    for key, value in missing.items():
        changes.add(f"tag {key}", found.tags.get(key) if found else None, value)
    if check_mode or changes.empty:
        return Outcome(found.template_id if found else "", found.version if found else 0, changes)
    if not found:
        made = client.create(name, data, tags)
        return Outcome(made.template_id, made.version, changes)
    version = client.add_version(found.template_id, data) if data_differs else found.version
    if missing:
        client.set_tags(found.template_id, missing)
    return Outcome(found.template_id, version, changes)


def absent(client: Client, name: str, tags: dict[str, str], check_mode: bool) -> Outcome:
    """The template is gone, unless it bears other tags than it should: then it is somebody else's."""
    changes = DifferenceTracker()
    found = client.find(name)
    if not found:
        return Outcome("", 0, changes)
    foreign = {key: found.tags.get(key) for key, value in tags.items() if found.tags.get(key) != value}
    if foreign:
        raise ForeignTemplateError(
            f"Deleting launch template {name} failed: it has {foreign} where {tags} was expected, so it belongs to "
            "somebody else."
        )
    changes.add("name", name, None)
    if not check_mode:
        client.delete(found.template_id)
    return Outcome(found.template_id, found.version, changes)


class ForeignTemplateError(Exception):
    """A template of this name that bears another owner's tags."""
