#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_instance
short_description: Launch an EC2 instance in the first place that has room for it
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Launches one named instance from a launch template, unless it is there, and tries one place after the other, a place
    being a launch template (with its zone) and an instance type.
  - M(amazon.aws.ec2_instance) tries a place without capacity for minutes before it fails, and knows one place alone.
  - Where no place has room the module does not fail but says so, for the play to decide what becomes of the others.
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
    support: none
  idempotent:
    support: full
    details:
      - An instance of the name and the tags that is pending, running, stopping or stopped is the wanted one, as it is.
options:
  name:
    description: The tag C(Name).
    type: str
    required: true
  tags:
    description:
      - Tags by which the instance is found, and which it gets with its name when it is launched.
      - Those of the launch template come on top.
    type: dict
    required: true
  more_tags:
    description: Tags that it gets when it is launched, and is not found by.
    type: dict
    default: {}
  places:
    description: Where it is tried, in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      template:
        description: Name of the launch template, whose default version is taken.
        type: str
        required: true
      type:
        description: Instance type, in place of the template's.
        type: str
        required: true
      zone:
        description: The zone of the template's subnet, for messages.
        type: str
        required: true
  user_data:
    description: For cloud-init. Everybody on the instance can read it, so no secret belongs here.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: A node, of another size or in another zone if need be
  llmops.cluster.aws_instance:
    region: us-east-1
    name: gpu1
    tags: {llmops-cluster: llmops}
    places:
      - {template: llmops-gpu-us-east-1a, type: g6.2xlarge, zone: us-east-1a}
      - {template: llmops-gpu-us-east-1b, type: g6.2xlarge, zone: us-east-1b}
      - {template: llmops-gpu-us-east-1a, type: g5.2xlarge, zone: us-east-1a}
  register: launched

- name: Without that node there is no use in the others
  ansible.builtin.fail:
    msg: "{{ launched.refusals | join('; ') }}"
  when: launched.instance_id == ''

- name: Would it be launched?
  llmops.cluster.aws_instance:
    region: us-east-1
    name: gpu2
    tags: {llmops-cluster: llmops}
    places: [{template: llmops-gpu-us-east-1a, type: g6.2xlarge, zone: us-east-1a}]
  check_mode: true
"""

RETURN = r"""
instance_id:
  description: Id of the instance; empty when no place had room, and in check mode for one that would be launched.
  type: str
  returned: success
  sample: i-0123456789abcdef0
place:
  description: Where it was launched; empty when it was there.
  type: dict
  returned: success
refusals:
  description: What EC2 said of the places that it refused.
  type: list
  elements: str
  returned: success
  sample: ["g6.2xlarge in us-east-1a: InsufficientInstanceCapacity"]
"""

import time
import typing as t
import uuid

try:  # noqa: SIM105
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule tells it.

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.llmops.cluster.plugins.module_utils._aws.fleet import ALIVE
from ansible_collections.llmops.cluster.plugins.module_utils._aws.launch import RefusedError, launch
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Seen, Waiter, WaitTimeoutError

# An instance profile that was just made is not known everywhere yet.
_PROFILE_TRIES = 12
_PROFILE_SECONDS = 5
_RUNNING_SECONDS = 300
_LOOK_SECONDS = 3


class Ec2:
    """Asks EC2 for one node."""

    def __init__(self, client: t.Any, params: t.Mapping[str, t.Any]) -> None:
        self._client, self._params = client, params

    def find(self) -> str:
        """The oldest instance of the node; nothing when there is none."""
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in self._wanted().items()]
        filters.append({"Name": "instance-state-name", "Values": list(ALIVE)})
        found = self._client.describe_instances(Filters=filters, aws_retry=True)["Reservations"]
        instances = [one for reservation in found for one in reservation["Instances"]]
        return str(min(instances, key=lambda one: one["LaunchTime"])["InstanceId"]) if instances else ""

    def run(self, place: t.Mapping[str, str]) -> str:
        """Launch; one token for all tries of this place, so that a lost answer makes no second instance."""
        tags = {**self._params["more_tags"], **self._wanted()}
        marks = [{"Key": key, "Value": str(value)} for key, value in tags.items()]
        request = {
            "LaunchTemplate": {"LaunchTemplateName": place["template"]},
            "InstanceType": place["type"],
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": uuid.uuid4().hex,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": marks}],
        }
        if self._params["user_data"]:
            request["UserData"] = self._params["user_data"]
        for left in reversed(range(_PROFILE_TRIES)):
            try:
                return str(self._client.run_instances(**request, aws_retry=True)["Instances"][0]["InstanceId"])
            except ClientError as error:
                code, words = error.response["Error"]["Code"], error.response["Error"]["Message"]
                if not left or code != "InvalidParameterValue" or "iam instance profile" not in words.lower():
                    raise RefusedError(code, f"{code}: {words}") from error
                time.sleep(_PROFILE_SECONDS)
        return ""

    def state(self, instance_id: str) -> tuple[str, str]:
        """State, and why it is so."""
        try:
            found = self._client.describe_instances(InstanceIds=[instance_id], aws_retry=True)["Reservations"]
        except ClientError as error:
            # EC2 may not know yet what it has just made.
            if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
                raise
            return "pending", ""
        instance = found[0]["Instances"][0]
        return instance["State"]["Name"], instance.get("StateReason", {}).get("Code", "")

    def _wanted(self) -> dict[str, str]:
        return {**self._params["tags"], "Name": self._params["name"]}


def wait(predicate: t.Callable[[], Seen[str]]) -> str:
    """What the predicate saw last."""
    try:
        return Waiter(predicate, timeout=_RUNNING_SECONDS, interval=_LOOK_SECONDS).wait().value
    except WaitTimeoutError as error:
        return str(error.last)


def main() -> None:
    """Wire options, EC2 and result."""
    place = {key: {"type": "str", "required": True} for key in ("template", "type", "zone")}
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "tags": {"type": "dict", "required": True},
            "more_tags": {"type": "dict", "default": {}},
            "places": {"type": "list", "elements": "dict", "required": True, "options": place},
            "user_data": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    client = Ec2(module.client("ec2", retry_decorator=AWSRetry.jittered_backoff()), module.params)
    try:
        outcome = launch(client, module.params["places"], module.check_mode, wait)
    except RefusedError as error:
        module.fail_json(msg=f"Launching {module.params['name']} failed: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Launching {module.params['name']}")
    module.exit_json(
        changed=outcome.changed,
        instance_id=outcome.instance_id,
        place=dict(outcome.place),
        refusals=outcome.refusals,
    )


if __name__ == "__main__":
    main()
