#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_launch_template
short_description: Manage EC2 launch templates with everything that EC2 takes
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Keeps a launch template whose default version has exactly the data that is given, in EC2's own words. Other data
    become a new version, which becomes the default; instances that run keep what they were started with.
  - M(amazon.aws.ec2_launch_template) has no C(InterfaceType), without which there is no EFA.
requirements:
  - The collection amazon.aws and boto3, on the host that runs the module.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - llmops.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the launch template.
    type: str
    required: true
  state:
    description:
      - V(present) makes or changes it, V(absent) deletes it with all its versions.
      - A template that lacks the O(tags) is not deleted but reported.
    type: str
    choices: [present, absent]
    default: present
  data:
    description:
      - What EC2 calls C(RequestLaunchTemplateData). Needed with O(state=present).
      - User data are readable by everybody on the instance, so no secret belongs here.
    type: dict
  tags:
    description: Tags of the template itself, not of what it launches. Others that it has stay.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Nodes with EFA
  llmops.cluster.aws_launch_template:
    region: us-east-1
    name: llmops-gpu-us-east-1a
    data:
      ImageId: ami-0123456789abcdef0
      InstanceType: g6.8xlarge
      MetadataOptions: {HttpTokens: required, HttpPutResponseHopLimit: 1}
      NetworkInterfaces:
        - DeviceIndex: 0
          InterfaceType: efa
          SubnetId: subnet-0123456789abcdef0
          Groups: [sg-0123456789abcdef0]
    tags: {llmops-cluster: llmops}

- name: What would a new image change?
  llmops.cluster.aws_launch_template:
    region: us-east-1
    name: llmops-gpu-us-east-1a
    data: "{{ data | combine({'ImageId': 'ami-0fedcba9876543210'}) }}"
  check_mode: true
  diff: true

- name: No template
  llmops.cluster.aws_launch_template:
    region: us-east-1
    name: llmops-gpu-us-east-1a
    state: absent
    tags: {llmops-cluster: llmops}
"""

RETURN = r"""
launch_template_id:
  description: Id of the template; empty when there is none, in check mode too.
  type: str
  returned: success
  sample: lt-0123456789abcdef0
version:
  description: Number of the default version.
  type: int
  returned: success
  sample: 3
"""

import typing as t
import uuid

try:  # noqa: SIM105
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule tells it.

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.llmops.cluster.plugins.module_utils._aws.launch_template import (
    ForeignTemplateError,
    Found,
    absent,
    present,
)

_MISSING = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")
_THERE = "InvalidLaunchTemplateName.AlreadyExistsException"


class Ec2:
    """Asks EC2."""

    def __init__(self, client: t.Any) -> None:
        self._client = client

    def find(self, name: str) -> Found | None:
        """The template with the data of its default version."""
        try:
            templates = self._client.describe_launch_templates(LaunchTemplateNames=[name], aws_retry=True)[
                "LaunchTemplates"
            ]
            if not templates:
                return None
            template_id = templates[0]["LaunchTemplateId"]
            versions = self._client.describe_launch_template_versions(
                LaunchTemplateId=template_id, Versions=["$Default"], aws_retry=True
            )["LaunchTemplateVersions"]
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        tags = boto3_tag_list_to_ansible_dict(templates[0].get("Tags", []))
        return Found(template_id, versions[0]["VersionNumber"], versions[0]["LaunchTemplateData"], tags)

    def create(self, name: str, data: dict[str, t.Any], tags: dict[str, str]) -> Found:
        """A new template. One that is there by now is ours: an answer was lost on its way."""
        marks = [{"ResourceType": "launch-template", "Tags": ansible_dict_to_boto3_tag_list(tags)}] if tags else []
        try:
            self._client.create_launch_template(
                LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=marks, aws_retry=True
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != _THERE:
                raise
        found = self.find(name)
        if found is None:
            raise ForeignTemplateError(
                f"Making launch template {name} failed: EC2 said yes, and then that there is none. Run again."
            )
        return found

    def add_version(self, template_id: str, data: dict[str, t.Any]) -> int:
        """A new version, which becomes the default."""
        made = self._client.create_launch_template_version(
            LaunchTemplateId=template_id, LaunchTemplateData=data, ClientToken=uuid.uuid4().hex, aws_retry=True
        )
        version = int(made["LaunchTemplateVersion"]["VersionNumber"])
        self._client.modify_launch_template(LaunchTemplateId=template_id, DefaultVersion=str(version), aws_retry=True)
        return version

    def set_tags(self, template_id: str, tags: dict[str, str]) -> None:
        """Add or change tags."""
        self._client.create_tags(Resources=[template_id], Tags=ansible_dict_to_boto3_tag_list(tags), aws_retry=True)

    def delete(self, template_id: str) -> None:
        """Delete it; gone is as good."""
        try:
            self._client.delete_launch_template(LaunchTemplateId=template_id, aws_retry=True)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise


def main() -> None:
    """Wire options, EC2 and result."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "data": {"type": "dict"},
            "tags": {"type": "dict", "default": {}},
        },
        required_if=[("state", "present", ["data"])],
        supports_check_mode=True,
    )
    name, state, data, tags = (module.params[key] for key in ("name", "state", "data", "tags"))
    client = Ec2(module.client("ec2", retry_decorator=AWSRetry.jittered_backoff()))
    try:
        if state == "present":
            outcome = present(client, name, data, tags, module.check_mode)
        else:
            outcome = absent(client, name, tags, module.check_mode)
    except ForeignTemplateError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Managing launch template {name}")
    module.exit_json(
        changed=not outcome.changes.empty,
        diff=outcome.changes.before_after(),
        launch_template_id=outcome.template_id,
        version=outcome.version,
    )


if __name__ == "__main__":
    main()
