#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slurm_job_info
short_description: Tell about Slurm jobs
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Lists jobs with the same keys that M(llmops.cluster.slurm_job) returns, those of others too.
notes:
  - Runs on a host where Slurm's commands work.
  - Without accounting, jobs that ended are known as long as the controller remembers them (C(MinJobAge), 300 seconds
    by default).
extends_documentation_fragment:
  - llmops.cluster.attributes
  - llmops.cluster.attributes.info_module
options:
  name:
    description:
      - Only jobs of this name.
    type: str
  user:
    description:
      - Only jobs of this user.
    type: str
  job_id:
    description:
      - Only these jobs.
    type: list
    elements: int
    aliases: [job_ids]
  include_ended:
    description:
      - Also jobs that have ended, from the controller's memory and from accounting.
      - Needs O(name), O(user) or O(job_id), because an accounting database holds years of jobs.
    type: bool
    default: false
seealso:
  - module: llmops.cluster.slurm_job
"""

EXAMPLES = r"""
- name: Find the server of a model
  llmops.cluster.slurm_job_info:
    name: vllm-serve-mistral
    user: vllm
  register: mistral

- name: Show where it runs
  ansible.builtin.debug:
    msg: "{{ mistral.jobs | map(attribute='batch_host') | list }}"

- name: Tell how two jobs ended
  llmops.cluster.slurm_job_info:
    job_id: [41, 42]
    include_ended: true

- name: List everything in the queue
  llmops.cluster.slurm_job_info:
"""

RETURN = r"""
jobs:
  description: The jobs, by id; empty when there are none.
  returned: always
  type: list
  elements: dict
  contains:
    job_id:
      description: The job's id.
      type: int
      sample: 42
    name:
      description: The job's name.
      type: str
      sample: vllm-serve-mistral
    user:
      description: The user it runs as.
      type: str
      sample: vllm
    job_state:
      description: Slurm's state of the job.
      type: str
      sample: RUNNING
    state_flags:
      description: What Slurm says beside the state.
      type: list
      elements: str
      sample: [COMPLETING]
    reason:
      description: Slurm's reason for the state.
      type: str
      sample: Resources
    comment:
      description: The job's comment.
      type: str
      sample: "llmops:vllm-serve-mistral:0f3c9a52be7714d8"
    key:
      description: The key in the comment of a job that M(llmops.cluster.slurm_job) made, else none.
      type: str
      sample: 0f3c9a52be7714d8
    nodes:
      description: The nodes of the job, as Slurm writes a list of hosts.
      type: str
      sample: gpu[1-2]
    batch_host:
      description: The node on which the batch script runs.
      type: str
      sample: gpu1
    submit_time:
      description: When it was submitted, in seconds since 1970.
      type: int
    start_time:
      description: When it started, or for a waiting job when Slurm expects it to, in seconds since 1970.
      type: int
    end_time:
      description: When it ended, or when its time limit will end it, in seconds since 1970.
      type: int
    exit_code:
      description: The exit code of a job that has ended, none when a signal ended it.
      type: int
    signal:
      description: The signal that ended the job.
      type: int
    stdout:
      description: Path of the job's standard output on its node.
      type: str
    stderr:
      description: Path of the job's standard error on its node.
      type: str
    chdir:
      description: The job's working directory.
      type: str
    array_task_id:
      description: The number of a job array's task, else none.
      type: int
    submit_line:
      description: The submission, parted at spaces, without secrets; empty when Slurm does not tell it.
      type: list
      elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import connect
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError, SpecError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import check_name

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job


def argument_spec() -> dict[str, t.Any]:
    return {
        "name": {"type": "str"},
        "user": {"type": "str"},
        "job_id": {"type": "list", "elements": "int", "aliases": ["job_ids"]},
        "include_ended": {"type": "bool", "default": False},
    }


def find_jobs(
    client: SlurmClient,
    *,
    name: str | None,
    user: str | None,
    job_ids: list[int] | None,
    include_ended: bool,
) -> list[Job]:
    """The jobs that fit, by id. What the controller says of a job goes before what accounting has written down."""
    found: dict[int, Job] = {}
    if job_ids is not None:
        recorded = client.recorded_all(job_ids) if include_ended and job_ids else []
        known = client.jobs(job_ids) if job_ids else []
    else:
        names = [name] if name else []
        recorded = client.recorded_named(names, user) if include_ended else []
        known = client.jobs_named(names, user)
    for job in [*recorded, *known]:
        found[job.job_id] = job
    return [
        job
        for _job_id, job in sorted(found.items())
        if (include_ended or job.live) and name in (None, job.name) and user in (None, job.user)
    ]


def run_module(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    name, user, job_ids, include_ended = (params[key] for key in ("name", "user", "job_id", "include_ended"))
    if name is not None:
        check_name(name)
    if include_ended and name is None and user is None and job_ids is None:
        raise SpecError("include_ended is true without name, user or job_id. Give one of them: accounting holds years.")
    client = connect.open_client(module, connect.find_account(None))
    jobs = find_jobs(client, name=name, user=user, job_ids=job_ids, include_ended=include_ended)
    return {"jobs": [job.facts() for job in jobs]}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        found = run_module(module)
    except SlurmError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
