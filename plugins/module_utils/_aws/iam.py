# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What parts of a cluster may do in AWS. Private to this collection."""

from __future__ import annotations

import typing as t

TAG_CLUSTER: t.Final = "llmops-cluster"
TAG_ROLE: t.Final = "llmops-role"
TAG_NODE: t.Final = "llmops-elastic"

# What a launch makes, tags at birth and must bear the cluster's tag.
_MADE: t.Final = ("instance", "volume", "network-interface", "spot-instances-request")
# What a launch uses of this cluster's own.
_USED: t.Final = ("subnet", "security-group", "launch-template", "key-pair", "placement-group")


def elastic_policy(
    cluster: str, region: str, account: str, partition: str = "aws", passed_role: str | None = None
) -> dict[str, t.Any]:
    """The policy of the controller's role for the driver of elastic nodes (role aws_elastic).

    ``passed_role`` is the name of the IAM role in the instance profile of the launch templates, by default
    ``<cluster>-compute``.
    """
    ec2 = f"arn:{partition}:ec2:{region}:{account}"
    born = {f"aws:RequestTag/{TAG_CLUSTER}": cluster, f"aws:RequestTag/{TAG_ROLE}": "compute"}
    ours = {f"aws:ResourceTag/{TAG_CLUSTER}": cluster}
    from_template = {"ArnLike": {"ec2:LaunchTemplate": f"{ec2}:launch-template/*"}}
    made = [f"{ec2}:{kind}/*" for kind in _MADE]
    return {
        "Version": "2012-10-17",
        "Statement": [
            # These two know neither resources nor tags of them.
            _allow("Look", ["DescribeInstances", "DescribeLaunchTemplateVersions"], "*"),
            _allow("LaunchWithOurTags", ["RunInstances"], made, {"StringEquals": born, **from_template}),
            _allow("LaunchFromOurs", ["RunInstances"], [f"{ec2}:{kind}/*" for kind in _USED], {"StringEquals": ours}),
            # Images belong to others too; which one it is, the template says, whose change is not allowed here.
            _allow("LaunchAnImage", ["RunInstances"], [f"arn:{partition}:ec2:{region}::image/*"], from_template),
            _allow(
                "TagWhatIsLaunched",
                ["CreateTags"],
                made,
                {"StringEquals": {"ec2:CreateAction": "RunInstances", **born}},
            ),
            # Neither the controller nor nodes that are not elastic.
            _allow(
                "StartAndEndOurs",
                ["StartInstances", "StopInstances", "TerminateInstances"],
                [f"{ec2}:instance/*"],
                {"StringEquals": ours, "Null": {f"aws:ResourceTag/{TAG_NODE}": "false"}},
            ),
            {
                "Sid": "GiveComputeItsRole",
                "Effect": "Allow",
                "Action": ["iam:PassRole"],
                "Resource": [f"arn:{partition}:iam::{account}:role/{passed_role or f'{cluster}-compute'}"],
                "Condition": {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}},
            },
        ],
    }


def _allow(
    sid: str, actions: t.Sequence[str], resources: t.Sequence[str], condition: t.Mapping[str, t.Any] | None = None
) -> dict[str, t.Any]:
    statement: dict[str, t.Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"ec2:{action}" for action in actions],
        "Resource": resources,
    }
    return {**statement, "Condition": dict(condition)} if condition else statement
