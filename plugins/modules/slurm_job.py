#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slurm_job
short_description: Keep Slurm batch jobs as they shall be
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
  - A new job is looked at once more after the controller has saved its state, which takes up to seven seconds. A
    controller that is killed before that forgets the job, and the job is submitted again. The same goes for a cancel.
    O(confirm) leaves that wait out.
  - With O(jobs) one task has many jobs. They are submitted and waited for together, with one question to the
    controller a look, whatever their number.
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
      - Either this or O(jobs) is needed.
    type: str
  jobs:
    description:
      - Many jobs of O(user) in one task, in the place of O(name).
      - O(script), O(script_content), O(args), O(chdir), O(options) and O(environment) beside it are for every job that
        has none of its own; O(options) and O(environment) are merged, and a job's own go before them.
      - If Slurm or O(on_change) refuses to replace one of them, none is touched. After that each has its own fate,
        also a new job that Slurm refuses, and the task fails with the reasons of all that failed.
      - Up to eight are submitted at the same moment, so their ids need not follow the order of the list.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - As O(name). Each name once.
        type: str
        required: true
      script:
        description:
          - As O(script).
        type: path
      script_content:
        description:
          - As O(script_content).
        type: str
      args:
        description:
          - As O(args).
        type: list
        elements: str
      options:
        description:
          - As O(options).
        type: dict
      environment:
        description:
          - As O(environment).
        type: dict
      chdir:
        description:
          - As O(chdir).
        type: str
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
  options:
    description:
      - Options of C(sbatch) by their long names without the dashes.
      - V(array) makes a job array. It counts as running when one of its tasks runs, and as completed when all have
        completed.
      - V(dependency) makes it wait for other jobs. Their ids belong to the specification, so a job that waits for one
        that was made anew is replaced. In check mode a job that would only be made has no id yet, see the example.
      - V(true) gives an option without a value, V(false) leaves it out, a list repeats it.
      - Put quotes around times. YAML reads an unquoted C(1:00:00) as the number 3600, which Slurm takes as minutes.
      - Options this module gives itself are refused, among them C(job-name), C(comment), C(chdir), C(export) and
        C(wrap).
    type: dict
  environment:
    description:
      - Variables for the job. Values must be text or numbers.
      - A variable that Slurm sets itself in a job is refused.
    type: dict
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
      - V(fail) fails and names the parts that differ.
    type: str
    choices: [replace, keep, fail]
    default: replace
  confirm:
    description:
      - What is enough to call a new job submitted.
      - V(saved) is that the controller has written it down, see above.
      - V(accepted) is that the controller has answered, as for C(sbatch) itself. It saves the wait where a job that is
        lost with the controller in these seconds does no harm, because the task is run again. A cancel is still seen
        to be saved, or a cancelled job could come back beside the one that took its place.
      - With O(state=completed) it changes nothing, for the job's end is waited for.
    type: str
    choices: [saved, accepted]
    default: saved
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
    chdir: /home/vllm/vllm-jobs
    user: vllm
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

- name: Answer two files of prompts, side by side where there are GPUs
  llmops.cluster.slurm_job:
    jobs:
      - name: answers-monday
        args: [/home/vllm/monday.jsonl, /home/vllm/monday-answers.jsonl]
      - name: answers-tuesday
        args: [/home/vllm/tuesday.jsonl, /home/vllm/tuesday-answers.jsonl]
    user: vllm
    script: /home/vllm/vllm-jobs/batch_mistral.sh
    options: {partition: gpu, gres: "gpu:1", time: "2:00:00"}
    state: completed
    queue_timeout: 86400
  become: true

- name: The same as a job array, four tasks at a time
  llmops.cluster.slurm_job:
    name: answers
    script_content: |
      #!/bin/bash
      number=$SLURM_ARRAY_TASK_ID
      exec /home/vllm/vllm-jobs/batch_mistral.sh "prompts-$number.jsonl" "answers-$number.jsonl"
    user: vllm
    options: {partition: gpu, gres: "gpu:1", array: "0-99%4"}
    state: completed
  become: true

- name: Prepare prompts
  llmops.cluster.slurm_job:
    name: prepare-prompts
    script: /home/vllm/prepare.sh
    user: vllm
    options: {partition: gpu}
  register: prepared
  become: true

- name: Answer them when they are there, without waiting for that here
  llmops.cluster.slurm_job:
    name: answer-prompts
    script: /home/vllm/vllm-jobs/batch_mistral.sh
    args: [/home/vllm/prompts.jsonl, /home/vllm/answers.jsonl]
    user: vllm
    options: "{{ {'partition': 'gpu', 'gres': 'gpu:1'}
      | combine({'dependency': 'afterok:' ~ prepared.job_id} if prepared.job_id else {}) }}"
  become: true

- name: Stop serving
  llmops.cluster.slurm_job:
    name: vllm-serve-mistral
    user: vllm
    state: absent
  become: true
"""

RETURN = r"""
job_id:
  description: The job's id, or none when there is no job. Of an array the id of the whole, as C(sbatch) says it.
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
  description: The job that had to go for this one, or the array.
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
  description: The exit code of a job that has ended; none of one that a signal ended.
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
tasks:
  description:
    - The tasks of a job array, each with its C(array_task_id) and the values above from RV(job_id) to RV(reason).
  returned: for a job array
  type: list
  elements: dict
jobs:
  description: The values above for each job, with its C(name), C(changed), C(msg), and C(failed) if it failed.
  returned: with O(jobs), in the place of the values above
  type: list
  elements: dict
msg:
  description: What was done, in a sentence. With O(jobs) and failures, a line for each of them.
  returned: always
  type: str
"""

import contextlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, connect, request
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.kept import cluster_of, kept
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask_argv, secret_values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome, result, results
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import (
    JobSpec,
    build_spec,
    odd_time_options,
)

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.manage import JobManager

# The place of a script given as text, in what is shown: its temporary path means nothing to anybody.
TEXT_SCRIPT = "(script_content)"


def argument_spec() -> dict[str, t.Any]:
    of_a_job = {
        "script": {"type": "path"},
        "script_content": {"type": "str"},
        "args": {"type": "list", "elements": "str"},
        "options": {"type": "dict"},
        "environment": {"type": "dict", "no_log": True},
        "chdir": {"type": "str"},
    }
    return {
        "name": {"type": "str"},
        **of_a_job,
        "jobs": {
            "type": "list",
            "elements": "dict",
            "options": {"name": {"type": "str", "required": True}, **of_a_job},
            "mutually_exclusive": [("script", "script_content")],
        },
        "state": {
            "type": "str",
            "choices": ["submitted", "running", "completed", "absent"],
            "default": "submitted",
        },
        "user": {"type": "str"},
        "on_change": {"type": "str", "choices": ["replace", "keep", "fail"], "default": "replace"},
        "confirm": {"type": "str", "choices": ["saved", "accepted"], "default": "saved"},
        "queue_timeout": {"type": "int", "default": 600},
        "start_timeout": {"type": "int", "default": 600},
        "run_timeout": {"type": "int"},
        "poll_interval": {"type": "float", "default": 2.0},
    }


def absent_yet(module: AnsibleModule, jobs: list[dict[str, t.Any]]) -> str | None:
    """What keeps a check run from asking Slurm, because an earlier task would only have made it."""
    if not connect.slurm_is_here(module):
        return "Slurm's commands are"
    scripts = [job["script"] for job in jobs if module.params["state"] != "absent" and job["script"]]
    missing = next((script for script in scripts if not os.path.exists(script)), None)
    return f"the script {missing} is" if missing else None


def wanted_spec(job: dict[str, t.Any], account: command.Account) -> JobSpec:
    path = job["script"]
    return build_spec(
        name=job["name"],
        user=account.name,
        script=connect.read_script(path) if path else job["script_content"],
        script_path=path,
        chdir=job["chdir"] or account.home,
        args=job["args"] or (),
        options=job["options"],
        environment=job["environment"],
    )


def run_module(module: AnsibleModule, environments: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    params = module.params
    jobs = request.wanted_jobs(params, environments)
    request.check_jobs(jobs, params["state"])
    request.check_times(params)
    names = [job["name"] for job in jobs]
    missing = absent_yet(module, jobs) if module.check_mode else None
    if missing:
        message = f"Check mode: {missing} not on this host yet, so Slurm was not asked."
        found = [result(Outcome(changed=params["state"] != "absent", message=message)) for _job in jobs]
    elif jobs:
        found = _act(module, jobs, names)
    else:
        found = []
    return found[0] if params["jobs"] is None else results(names, found)


def _act(module: AnsibleModule, jobs: list[dict[str, t.Any]], names: list[str]) -> list[dict[str, t.Any]]:
    params = module.params
    account = connect.find_account(params["user"])
    client = connect.open_client(module, account)
    if params["state"] == "absent":
        outcomes = _manager(module, client, names).absent(names, account.name)
        extras: list[dict[str, t.Any]] = [{} for _name in names]
    else:
        specs = [wanted_spec(job, account) for job in jobs]
        for warning in dict.fromkeys(warning for job in jobs for warning in odd_time_options(job["options"] or {})):
            module.warn(warning)
        cluster, outcomes = _present(module, client, specs)
        keys = [spec.key(cluster) for spec in specs]
        extras = [
            {"key": key, "submit_line": _submit_line(client, spec, key)}
            for spec, key in zip(specs, keys)  # noqa: B905 - Python 3.9
        ]
    for warning in dict.fromkeys(warning for outcome in outcomes for warning in outcome.warnings):
        module.warn(warning)
    return [result(outcome, **extra) for outcome, extra in zip(outcomes, extras)]  # noqa: B905 - Python 3.9


def _present(module: AnsibleModule, client: SlurmClient, specs: list[JobSpec]) -> tuple[str, list[Outcome]]:
    """The name of the cluster, and what became of each job."""
    how = {name: module.params[name] for name in ("state", "on_change")}
    names = [spec.name for spec in specs]
    listed = client.jobs_listed(names, client.account.name)
    cluster = cluster_of(listed)
    if cluster:
        outcomes = kept(specs, listed, cluster, **how)
        if outcomes is not None:
            return cluster, outcomes
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import Order

    # What goes into a key is the controller's own word for it.
    cluster = client.cluster_name()
    with contextlib.ExitStack() as stack:
        orders = [
            Order(spec, spec.key(cluster), spec.script_path or stack.enter_context(_text_script(spec, client.account)))
            for spec in specs
        ]
        return cluster, _manager(module, client, names).present(orders, **how)


def _manager(module: AnsibleModule, client: SlurmClient, names: list[str]) -> JobManager:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm import lock, manage, wait

    user = client.account.name
    paths = [] if module.check_mode else lock.lock_paths(f"{user}:{name}" for name in names)
    what = f"the job {names[0]} of {user}" if len(names) == 1 else f"{len(names)} jobs of {user}"
    return manage.JobManager(
        client,
        wait.JobWatch(client, {name: module.params[name] for name in request.TIMEOUTS}, module.params["poll_interval"]),
        module.check_mode,
        until_saved=module.params["confirm"] == "saved",
        lock=lambda: lock.job_locks(paths, what=what),
    )


def _text_script(spec: JobSpec, account: command.Account) -> contextlib.AbstractContextManager[str]:
    return connect.script_file(spec.name, spec.script, account)


def _submit_line(client: SlurmClient, spec: JobSpec, key: str) -> list[str]:
    argv = command.sbatch(client.tools, spec, spec.comment(key), spec.script_path or TEXT_SCRIPT)
    return mask_argv(argv, secret_values(spec.environment))


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_one_of=[("name", "jobs")],
        mutually_exclusive=[("name", "jobs"), ("script", "script_content")],
    )
    environments = connect.hide_environment(module)
    try:
        found = run_module(module, environments)
    except SlurmError as error:
        module.fail_json(msg=error.message, **error.facts)
    if found.get("failed"):
        module.fail_json(**found)
    module.exit_json(**found)


if __name__ == "__main__":
    main()
