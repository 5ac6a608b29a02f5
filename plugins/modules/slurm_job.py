#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slurm_job
short_description: Keep a Slurm batch job as it shall be
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Submits a batch job once, waits for it to run or to complete, replaces it when its specification changes, and
    cancels it.
  - A job is known by its name, its user and a key. The key is a hash of the cluster, the user, the name and the whole
    specification (the script's text, arguments, options, environment, working directory) and travels in the job's
    comment as C(llmops:NAME:KEY). Two runs of one task therefore make one job.
  - A job of the same name and user without such a comment is never adopted, changed or cancelled. It is reported in
    RV(foreign_jobs).
  - An unclear answer of C(sbatch) is never taken as a no. The job is looked for by its key before it is submitted
    again, and if more than one live job has the key, the oldest running one is kept and the others are cancelled.
notes:
  - Runs on a host where Slurm's commands work, as the job's user or as root.
  - The job gets the variables of O(environment) and C(PATH), C(HOME), C(USER), C(LOGNAME), C(SHELL) and C(LANG),
    nothing of the session that submits it and no login environment.
  - The values of O(environment) do not show in process lists, in results or in logs of this module. The controller
    keeps them with the job, so large secrets are better read by the script from a file.
  - Commands are looked for in C(/opt/slurm/current/bin), then in C(/usr/local/bin), then in C(PATH).
extends_documentation_fragment:
  - llmops.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - For a job that would be submitted, C(sbatch --test-only) is run, and the module fails if Slurm refuses the job.
      - Does not wait.
  diff_mode:
    support: full
    details:
      - Values of O(environment) are not shown.
  idempotent:
    support: full
    details:
      - With O(state=submitted) and O(state=running) a job that has ended is submitted again.
      - With O(state=completed) a job that has completed is not run again as long as the controller or accounting
        remembers it.
options:
  name:
    description:
      - The job's name, and together with O(user) its identity.
      - 1 to 128 letters, digits and C(. _ + -), not beginning with C(.), C(+) or C(-).
    type: str
    required: true
  state:
    description:
      - V(submitted) has the job in the queue or running.
      - V(running) waits until it runs, and fails at once if it ends instead.
      - V(completed) waits until it has ended, and fails unless its exit code is 0.
      - V(absent) cancels every live job of this name and user that this module made, whatever its specification, and
        waits until they are gone.
    type: str
    choices: [submitted, running, completed, absent]
    default: submitted
  script:
    description:
      - Path of the batch script on the host. It must be readable for O(user).
      - Needed unless O(state=absent), or O(script_content) is given.
    type: path
  script_content:
    description:
      - Text of the batch script, in the place of O(script).
    type: str
  args:
    description:
      - Arguments for the script.
    type: list
    elements: str
    default: []
  options:
    description:
      - Options of C(sbatch) by their long names without the dashes.
      - V(true) gives an option without a value, V(false) leaves it out, a list repeats it.
      - Put quotes around times. YAML reads an unquoted C(1:00:00) as the number 3600, which Slurm takes as minutes.
      - Options this module gives itself are refused, among them C(job-name), C(comment), C(chdir), C(export) and
        C(wrap).
    type: dict
    default: {}
  environment:
    description:
      - Variables for the job. Values must be text or numbers.
    type: dict
    default: {}
  chdir:
    description:
      - Working directory of the job, an absolute path.
      - Defaults to the home directory of O(user).
    type: str
  user:
    description:
      - The user the job runs as.
      - Defaults to the user the module runs as. Another user needs root.
    type: str
  on_change:
    description:
      - What to do when a live job of this name that this module made has another specification.
      - V(replace) asks Slurm whether it would accept the new job, cancels the old one, waits until it is gone, and
        submits.
      - V(keep) leaves the old job and says so.
      - V(fail) fails and shows the difference.
    type: str
    choices: [replace, keep, fail]
    default: replace
  queue_timeout:
    description:
      - Seconds a job may wait in the queue, for O(state=running) and O(state=completed).
      - The message then has Slurm's reason and the expected start. The job stays in the queue.
    type: int
    default: 600
  start_timeout:
    description:
      - Seconds a job may take from getting its nodes until it runs on them (Slurm's C(CONFIGURING)), as when nodes are
        switched on for it.
    type: int
    default: 600
  run_timeout:
    description:
      - Seconds a job may run, for O(state=completed). The job itself goes on after that.
      - Without it only Slurm's own time limit ends the wait.
    type: int
  poll_interval:
    description:
      - Seconds between two looks at the job while waiting, at least 0.2.
    type: float
    default: 2.0
seealso:
  - module: llmops.cluster.slurm_job_info
"""

EXAMPLES = r"""
- name: Serve a model
  llmops.cluster.slurm_job:
    name: vllm-serve-mistral
    script: /home/vllm/vllm-jobs/serve_mistral.sh
    user: vllm
    options:
      partition: gpu
      gres: gpu:1
      time: "7-00:00:00"
      requeue: true
    state: running
    queue_timeout: 900
  become: true

- name: Run a batch of prompts to its end, once
  llmops.cluster.slurm_job:
    name: vllm-batch-mistral
    script: /home/vllm/vllm-jobs/batch_mistral.sh
    args: [/home/vllm/prompts.jsonl, /home/vllm/answers.jsonl]
    user: vllm
    options: {partition: gpu, gres: "gpu:1", time: "2:00:00"}
    environment:
      VLLM_LOGGING_LEVEL: WARNING
    state: completed
    run_timeout: 7200
  become: true

- name: Check that a GPU is there
  llmops.cluster.slurm_job:
    name: gpu-check
    script_content: |
      #!/bin/bash
      nvidia-smi --list-gpus
    options: {partition: gpu, gres: "gpu:1"}
    state: completed
  register: gpu_check

- name: Stop serving
  llmops.cluster.slurm_job:
    name: vllm-serve-mistral
    user: vllm
    state: absent
  become: true
"""

RETURN = r"""
job_id:
  description: The job's id, or none when there is no job.
  returned: always
  type: int
  sample: 42
job_state:
  description: Slurm's state of the job.
  returned: always
  type: str
  sample: RUNNING
nodes:
  description: The nodes of the job, as Slurm writes a list of hosts.
  returned: always
  type: str
  sample: gpu[1-2]
batch_host:
  description: The node on which the batch script runs.
  returned: always
  type: str
  sample: gpu1
key:
  description: The key of the wanted job. With O(state=absent) that of the job that was cancelled.
  returned: always
  type: str
  sample: 0f3c9a52be7714d8
submit_line:
  description: The submission as a list of arguments, without secrets.
  returned: unless O(state=absent)
  type: list
  elements: str
  sample: [/usr/local/bin/sbatch, --parsable, --job-name=vllm-serve-mistral, /home/vllm/vllm-jobs/serve_mistral.sh]
replaced_job_id:
  description: The job that had to go for this one.
  returned: always
  type: int
  sample: 41
cancelled_job_ids:
  description: All jobs this run cancelled, or would cancel in check mode.
  returned: always
  type: list
  elements: int
foreign_jobs:
  description: Ids of live jobs of the same name and user that this module did not make.
  returned: always
  type: list
  elements: int
exit_code:
  description: The exit code of a job that has ended.
  returned: always
  type: int
  sample: 0
signal:
  description: The signal that ended the job.
  returned: always
  type: int
stdout:
  description: Path of the job's standard output on its node.
  returned: always
  type: str
  sample: /home/vllm/vllm-jobs/outputs/mistral-42.out
stderr:
  description: Path of the job's standard error on its node.
  returned: always
  type: str
reason:
  description: Slurm's reason for the job's state.
  returned: always
  type: str
  sample: Resources
msg:
  description: What was done, in a sentence.
  returned: always
  type: str
"""

import contextlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, connect
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError, SpecError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.lock import job_lock, lock_path
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.manage import JobManager, Outcome
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask_argv, secret_values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import (
    JobSpec,
    build_spec,
    check_name,
    odd_time_options,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import JobWatch

SHORTEST_INTERVAL = 0.2
# The place of a script given as text, in what is shown: its temporary path means nothing to anybody.
TEXT_SCRIPT = "(script_content)"


def argument_spec() -> dict[str, t.Any]:
    return {
        "name": {"type": "str", "required": True},
        "state": {
            "type": "str",
            "choices": ["submitted", "running", "completed", "absent"],
            "default": "submitted",
        },
        "script": {"type": "path"},
        "script_content": {"type": "str"},
        "args": {"type": "list", "elements": "str", "default": []},
        "options": {"type": "dict", "default": {}},
        "environment": {"type": "dict", "default": {}, "no_log": True},
        "chdir": {"type": "str"},
        "user": {"type": "str"},
        "on_change": {"type": "str", "choices": ["replace", "keep", "fail"], "default": "replace"},
        "queue_timeout": {"type": "int", "default": 600},
        "start_timeout": {"type": "int", "default": 600},
        "run_timeout": {"type": "int"},
        "poll_interval": {"type": "float", "default": 2.0},
    }


def check_times(params: dict[str, t.Any]) -> None:
    for name in ("queue_timeout", "start_timeout", "run_timeout"):
        if params[name] is not None and params[name] < 0:
            raise SpecError(f"{name} is {params[name]}. Give 0 or more seconds.")
    if params["poll_interval"] < SHORTEST_INTERVAL:
        raise SpecError(f"poll_interval is {params['poll_interval']}. Give at least {SHORTEST_INTERVAL} seconds.")


def result(outcome: Outcome, *, key: str | None = None, submit_line: list[str] | None = None) -> dict[str, t.Any]:
    """The module's result; every documented key is always there."""
    names = ("job_id", "job_state", "nodes", "batch_host", "exit_code", "signal", "stdout", "stderr", "reason")
    facts = outcome.job.facts() if outcome.job else {}
    found: dict[str, t.Any] = {name: facts.get(name) for name in names}
    found["key"] = key or facts.get("key")
    if submit_line is not None:
        found["submit_line"] = submit_line
    found["replaced_job_id"] = outcome.replaced_job_id
    found["cancelled_job_ids"] = [job.group for job in outcome.cancelled]
    found["foreign_jobs"] = [job.job_id for job in outcome.foreign]
    found["changed"] = outcome.changed
    found["msg"] = outcome.message
    if outcome.diff is not None:
        found["diff"] = outcome.diff
    return found


def absent_yet(module: AnsibleModule) -> str | None:
    """What keeps a check run from asking Slurm, because an earlier task would only have made it."""
    if not connect.slurm_is_here(module):
        return "Slurm's commands are"
    script = module.params["script"]
    if module.params["state"] != "absent" and script and not os.path.exists(script):
        return f"the script {script} is"
    return None


def wanted_spec(params: dict[str, t.Any], environment: dict[str, t.Any], account: command.Account) -> JobSpec:
    path = params["script"]
    return build_spec(
        name=params["name"],
        user=account.name,
        script=connect.read_script(path) if path else params["script_content"],
        script_path=path,
        chdir=params["chdir"] or account.home,
        args=params["args"],
        options=params["options"],
        environment=environment,
    )


def run_module(module: AnsibleModule, environment: dict[str, t.Any]) -> dict[str, t.Any]:
    params = module.params
    check_name(params["name"])
    check_times(params)
    missing = absent_yet(module) if module.check_mode else None
    if missing:
        changed = params["state"] != "absent"
        message = f"Check mode: {missing} not on this host yet, so Slurm was not asked."
        return result(Outcome(changed=changed, message=message))
    account = connect.find_account(params["user"])
    client = connect.open_client(module, account)
    limits = {name: params[name] for name in ("queue_timeout", "start_timeout", "run_timeout")}
    watch = JobWatch(client, limits, params["poll_interval"])
    title = f"the job {params['name']} of {account.name}"

    def lock() -> contextlib.AbstractContextManager[None]:
        if module.check_mode:
            return contextlib.nullcontext()
        return job_lock(lock_path(f"{account.name}:{params['name']}"), what=title)

    manager = JobManager(client, watch, module.check_mode, lock=lock)
    if params["state"] == "absent":
        return _warned(module, manager.absent(params["name"], account.name))
    for warning in odd_time_options(params["options"]):
        module.warn(warning)
    spec = wanted_spec(params, environment, account)
    key = spec.key(client.cluster_name())
    submit = command.sbatch(client.tools, spec, spec.comment(key), spec.script_path or TEXT_SCRIPT)
    submit_line = mask_argv(submit, secret_values(spec.environment))
    with contextlib.ExitStack() as stack:
        script = spec.script_path or stack.enter_context(connect.script_file(spec.name, spec.script, account))
        try:
            outcome = manager.present(spec, key, script, state=params["state"], on_change=params["on_change"])
        except SlurmError as error:
            error.facts["submit_line"] = submit_line
            raise
    return _warned(module, outcome, key=key, submit_line=submit_line)


def _warned(module: AnsibleModule, outcome: Outcome, **extra: t.Any) -> dict[str, t.Any]:
    for warning in outcome.warnings:
        module.warn(warning)
    return result(outcome, **extra)


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("script", "script_content")],
        required_if=[
            ("state", state, ("script", "script_content"), True) for state in ("submitted", "running", "completed")
        ],
    )
    environment = connect.hide_environment(module)
    try:
        found = run_module(module, environment)
    except SlurmError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**found)


if __name__ == "__main__":
    main()
