# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role aws_cluster: from its variables to what EC2 is asked for."""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._aws import (
    fleet,
    iam,
    images,
    night,
    plan,
    prices,
    problems,
    settings,
    ssh,
    summary,
    template,
)

Given = t.Mapping[str, t.Any]


def aws_plan(given: Given, available: t.Sequence[str]) -> dict[str, t.Any]:
    """Everything that does not depend on ids."""
    zones = plan.zones(given, available)
    return {
        "zones": zones,
        "subnets": plan.subnets(given, zones),
        "tags": plan.tags(given),
        "rules": plan.rules(given),
        "placement_groups": plan.placement_groups(given),
        "nodes": plan.nodes(given, zones),
        "warnings": problems.warnings(given),
        "problems": problems.zone_problems(given, zones, available),
        "image": images.image_of(given)._asdict(),
    }


def aws_bill(given: Given, table: Given) -> dict[str, t.Any]:
    """What the cluster costs, as numbers and as lines for people."""
    made = prices.bill(given, settings.groups(given), table)
    return {"hourly": made.hourly, "unknown": made.unknown, "text": prices.text(made, table)}


def aws_elastic_policy(given: Given, caller: str) -> dict[str, t.Any]:
    """What the controller may do to elastic nodes, in the account and partition of whoever asks (an ARN)."""
    _arn, partition, _service, _region, account, _rest = caller.split(":", 5)
    return iam.elastic_policy(str(given["name"]), str(given["region"]), account, partition)


class FilterModule:
    """Filters of the role aws_cluster."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {
            "aws_problems": problems.problems,
            "aws_summary": summary.summary,
            "aws_plan": aws_plan,
            "aws_bill": aws_bill,
            "aws_newest_image": images.newest,
            "aws_templates": template.templates,
            "aws_elastic_policy": aws_elastic_policy,
            "aws_night": night.nodes,
            "aws_served": night.served,
            "aws_fleet": fleet.actions,
            "aws_hosts": fleet.hosts,
            "aws_login_user": lambda given: images.image_of(given).user,
            "aws_ssh_arguments": ssh.arguments,
        }
