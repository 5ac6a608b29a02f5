#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_host_key_info
short_description: Learn the SSH host keys of EC2 instances from their consoles
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Reads the public host keys that cloud-init prints on the console, through EC2's own API (C(GetConsoleOutput)), so
    that the first connection to a new instance is checked like every later one. No amazon.aws module reads the console.
  - An instance that has printed none yet is left out. It takes about a minute from the start; ask again.
requirements:
  - The collection amazon.aws and boto3, on the host that runs the module.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - llmops.cluster.attributes
  - llmops.cluster.attributes.info_module
options:
  instance_ids:
    description: Ids of the instances.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Wait for the host keys of two instances
  llmops.cluster.aws_host_key_info:
    region: us-east-1
    instance_ids: &instances [i-0123456789abcdef0, i-0fedcba9876543210]
  register: console
  until: console.host_keys | length == 2
  retries: 60
  delay: 5

- name: Remember them where every admin finds them
  amazon.aws.ec2_tag:
    region: us-east-1
    resource: "{{ item.key }}"
    tags:
      llmops-host-key: "{{ item.value }}"
  loop: "{{ console.host_keys | dict2items }}"

- name: Which instances have printed none?
  ansible.builtin.debug:
    msg: "{{ console.missing }}"
"""

RETURN = r"""
host_keys:
  description: Public key by instance id, as known_hosts has it. Ed25519 where there is one, else ECDSA.
  type: dict
  returned: success
  sample: {i-0123456789abcdef0: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG}
missing:
  description: Instances whose console shows no key yet.
  type: list
  elements: str
  returned: success
"""

import typing as t

try:  # noqa: SIM105
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule tells it.

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.llmops.cluster.plugins.module_utils._aws.console import host_key

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html: Latest is for Nitro instances alone.
_NOT_NITRO = "UnsupportedOperation"


def console_text(client: t.Any, instance: str) -> str:
    """What the instance has printed; boto3 has decoded it."""
    ask = client.get_console_output
    try:
        return str(ask(InstanceId=instance, Latest=True, aws_retry=True).get("Output", ""))
    except ClientError as error:
        if error.response["Error"]["Code"] != _NOT_NITRO:
            raise
        return str(ask(InstanceId=instance, aws_retry=True).get("Output", ""))


def main() -> None:
    """Wire options, EC2 and result."""
    module = AnsibleAWSModule(
        argument_spec={"instance_ids": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
    wanted, keys = module.params["instance_ids"], {}
    for instance in wanted:
        try:
            key = host_key(console_text(client, instance))
        except (BotoCoreError, ClientError) as error:
            module.fail_json_aws(error, msg=f"Reading the console of {instance}")
        if key:
            keys[instance] = key
    module.exit_json(changed=False, host_keys=keys, missing=[instance for instance in wanted if instance not in keys])


if __name__ == "__main__":
    main()
