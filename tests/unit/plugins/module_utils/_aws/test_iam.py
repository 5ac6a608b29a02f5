# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller may do in AWS, and what it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws.iam import elastic_policy

POLICY = elastic_policy("lab", "eu-west-1", "123456789012")
STATEMENTS: dict[str, dict[str, Any]] = {one["Sid"]: one for one in POLICY["Statement"]}
EC2 = "arn:aws:ec2:eu-west-1:123456789012"


def test_it_is_a_policy_that_fits_a_role() -> None:
    assert POLICY["Version"] == "2012-10-17"
    assert len(STATEMENTS) == len(POLICY["Statement"])
    # IAM's limit for all inline policies of a role together is 10,240 characters without white space.
    assert len(json.dumps(POLICY, separators=(",", ":"))) < 4000


@pytest.mark.parametrize("sid", STATEMENTS)
def test_no_action_is_a_pattern(sid: str) -> None:
    assert not [action for action in STATEMENTS[sid]["Action"] if "*" in action]


@pytest.mark.parametrize("sid", STATEMENTS)
def test_only_looks_are_for_any_resource(sid: str) -> None:
    statement = STATEMENTS[sid]
    if statement["Resource"] == "*":
        assert all(action.startswith("ec2:Describe") for action in statement["Action"])
    else:
        assert all(one.startswith("arn:aws:") and one.count(":") >= 5 for one in statement["Resource"])


@pytest.mark.parametrize("sid", [sid for sid in STATEMENTS if sid != "Look"])
def test_what_changes_anything_has_a_condition(sid: str) -> None:
    assert STATEMENTS[sid]["Condition"]


def test_the_controller_and_nodes_that_are_not_elastic_cannot_be_ended() -> None:
    statement = STATEMENTS["StartAndEndOurs"]
    assert statement["Resource"] == [f"{EC2}:instance/*"]
    assert statement["Condition"] == {
        "StringEquals": {"aws:ResourceTag/llmops-cluster": "lab"},
        "Null": {"aws:ResourceTag/llmops-elastic": "false"},
    }


def test_tags_are_set_at_birth_only() -> None:
    holders = [sid for sid, one in STATEMENTS.items() if "ec2:CreateTags" in one["Action"]]
    assert holders == ["TagWhatIsLaunched"]
    assert STATEMENTS[holders[0]]["Condition"]["StringEquals"] == {
        "ec2:CreateAction": "RunInstances",
        "aws:RequestTag/llmops-cluster": "lab",
        "aws:RequestTag/llmops-role": "compute",
    }


def test_a_launch_uses_this_clusters_templates_networks_and_groups_alone() -> None:
    statement = STATEMENTS["LaunchFromOurs"]
    assert statement["Resource"] == [
        f"{EC2}:{kind}/*" for kind in ("subnet", "security-group", "launch-template", "key-pair", "placement-group")
    ]
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/llmops-cluster": "lab"}}


ROLES = {"by its name": (None, "role/lab-compute"), "another": ("gpu-nodes", "role/gpu-nodes")}


@pytest.mark.parametrize("name", ROLES)
def test_one_role_is_given_and_to_ec2(name: str) -> None:
    given, wanted = ROLES[name]
    policy = elastic_policy("lab", "eu-west-1", "123456789012", passed_role=given)
    (statement,) = (one for one in policy["Statement"] if "iam:PassRole" in one["Action"])
    assert statement["Resource"] == [f"arn:aws:iam::123456789012:{wanted}"]
    assert statement["Condition"] == {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}}


def test_another_partition_is_in_every_name() -> None:
    text = json.dumps(elastic_policy("lab", "cn-north-1", "123456789012", "aws-cn"))
    assert "arn:aws:" not in text
    assert "arn:aws-cn:ec2:cn-north-1:123456789012:instance/*" in text
