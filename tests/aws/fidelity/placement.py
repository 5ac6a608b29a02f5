"""Placement groups, which moto does not have."""

from __future__ import annotations

import fnmatch
import secrets
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.responses import EC2Response

from .account import PlacementGroup, extra, refuse


def _create(self: Any) -> ActionResult:
    groups, name = extra(self.ec2_backend).placement_groups, self._get_param("GroupName")
    tags = self._parse_tag_specification("placement-group").get("placement-group", {})
    self.error_on_dryrun()
    if name in groups:
        refuse("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
    strategy = self._get_param("Strategy", "cluster")
    group = PlacementGroup(
        f"pg-{secrets.token_hex(8)}1", name, strategy, self.ec2_backend, self._get_param("PartitionCount")
    )
    groups[name] = group
    self.ec2_backend.create_tags([group.id], tags)
    return ActionResult({"PlacementGroup": group.answer()})


def _describe(self: Any) -> ActionResult:
    groups = extra(self.ec2_backend).placement_groups
    wanted = self._get_param("GroupNames", [])
    for name in wanted:
        if name not in groups:
            refuse("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    answers = [group.answer() for name, group in groups.items() if not wanted or name in wanted]
    filters = self._filters_from_querystring()
    return ActionResult({"PlacementGroups": [one for one in answers if _matches(one, filters)]})


def _matches(answer: dict[str, Any], filters: Any) -> bool:
    fields = {"group-name": "GroupName", "state": "State", "strategy": "Strategy", "group-arn": "GroupArn"}
    tags = {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
    for name, patterns in filters.items():
        values = (
            list(tags)
            if name == "tag-key"
            else [tags.get(name[4:]) if name.startswith("tag:") else answer[fields[name]]]
        )
        if not any(value is not None and fnmatch.fnmatchcase(value, one) for value in values for one in patterns):
            return False
    return True


def _delete(self: Any) -> ActionResult:
    groups, name = extra(self.ec2_backend).placement_groups, self._get_param("GroupName")
    self.error_on_dryrun()
    if name not in groups:
        refuse("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    if any(one.placement.group_name == name and one.state != "terminated" for one in self.ec2_backend.all_instances()):
        refuse("InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use and may not be deleted.")
    del groups[name]
    return EmptyResult()


def apply() -> None:
    EC2Response.create_placement_group = _create  # type: ignore[attr-defined]
    EC2Response.describe_placement_groups = _describe  # type: ignore[attr-defined]
    EC2Response.delete_placement_group = _delete  # type: ignore[attr-defined]
