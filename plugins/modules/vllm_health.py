#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_health
version_added: 0.1.0
short_description: Wait until a vLLM server really answers
description:
  - Climbs from the Slurm job over the port, C(/health) and C(/v1/models) to a completion of one token, until all of it
    holds. C(/health) alone is never taken for ready, because an engine that hangs or has lost a worker may still answer
    it.
  - Says in which of nine states the server is when it does not become ready, and what to do about it.
  - Fails at once when waiting cannot help, that is when the job has ended or can never start, when the key is refused,
    and when the server has not had the wanted model for 15 seconds.
  - Finds the server by its job, see O(job_id), and follows the job when Slurm requeues it to another node.
  - Tells an engine that hangs from one that is full. An engine whose own counters (C(/metrics)) show work while the
    request waits is RV(state=loading) and RV(busy=true), and its next request may take longer.
  - Redirects are not followed and proxies of the environment are not used, so that the key reaches the named server and
    nothing else.
extends_documentation_fragment:
  - llmops.cluster.attributes
  - llmops.cluster.attributes.info_module
attributes:
  check_mode:
    support: full
    details:
      - In check mode it looks once, reports the state and does not fail, because what it waits for may not have been
        made.
options:
  url:
    description:
      - Base address of the server or gateway, with or without C(/v1) at its end.
      - Give this, or O(host) and O(port), or O(job_id) alone.
    type: str
  host:
    description:
      - Host of the server, reached by plain HTTP. Needs O(port).
    type: str
  port:
    description:
      - Port of the server on O(host).
      - With O(job_id) and without O(host) the port to ask on the node that runs the job, when the job has run for 30
        seconds and no record of its endpoint is to be seen here.
    type: int
  job_id:
    description:
      - Slurm job of the server. While it waits in the queue the state is V(pending), and when it has ended the module
        fails at once and shows the end of its log.
      - Without O(url) and O(host) the server is looked for where the running job has recorded that it listens, see
        O(endpoints_dir). The record is believed when its node and its time fit what Slurm says of the job, so what a
        lost node left behind misleads nobody. After a requeue the record of the new run is followed, O(timeout) begins
        anew (five times at most), and RV(restarts) says so.
      - Needs Slurm's commands on the host. Slurm is asked at most every 2 seconds, and once more before V(ready) is
        said. A controller that does not answer is no bad news, and the engine is not kept waiting for it.
    type: int
  endpoints_dir:
    description:
      - Folder in which jobs record their endpoints, as V(<job_id>.json) with the keys C(job_id), C(host), C(port),
        C(started) and C(models). The job scripts of the role P(llmops.cluster.vllm_jobs#role) do so.
      - Used with O(job_id) when neither O(url) nor O(host) is set. It must be readable on the host of the task; when it
        is not, set O(port).
    type: path
    default: /home/vllm/vllm-jobs/endpoints
  model:
    description:
      - Name under which the model must be served. Without it the first name that the job has recorded, and where there
        is no record any model.
    type: str
  level:
    description:
      - How far to climb.
      - V(tcp) is content with an open port.
      - V(http) wants C(/health) to answer 200.
      - V(model) wants the model to be listed.
      - V(completion) wants a token, or what O(task) says.
    type: str
    choices: [tcp, http, model, completion]
    default: completion
  task:
    description:
      - What the model does, which decides the smallest request there is and what counts as its answer.
      - V(generate) wants a token of C(/v1/completions).
      - V(embed) wants a vector of C(/v1/embeddings).
      - V(pooling), V(classify) and V(score) want numbers of C(/pooling), C(/classify) and C(/score).
    type: str
    choices: [generate, embed, pooling, classify, score]
    default: generate
  api_key:
    description:
      - Key of the server.
    type: str
  api_key_file:
    description:
      - File on the host that holds the key.
    type: path
  validate_certs:
    description:
      - Whether to check the certificate of an https address.
    type: bool
    default: true
  timeout:
    description:
      - Seconds to wait in all. V(0) looks once, with the whole O(request_timeout) for its requests.
    type: float
    default: 600
  request_timeout:
    description:
      - Seconds that one request may take. An engine that takes longer for a completion is V(hung), unless its counters
        show that it works.
    type: float
    default: 30
  interval:
    description:
      - Longest pause between two looks, in seconds. The first pause is 0.25 seconds. Near the goal, that is when the
        job no longer waits in the queue, no pause is longer than 0.5 seconds.
    type: float
    default: 2
  passes:
    description:
      - How many times in a row the server must be found ready.
    type: int
    default: 1
seealso:
  - module: llmops.cluster.slurm_job
author:
  - llmops.cluster maintainers (@llmops)
"""

EXAMPLES = r"""
- name: Serve a model
  llmops.cluster.slurm_job:
    name: vllm-serve-phi3
    script: /home/vllm/vllm-jobs/serve_phi3.sh
    chdir: /home/vllm/vllm-jobs
    user: vllm
    state: running
  register: phi3_job
  become: true

- name: Wait until it answers, wherever Slurm runs it
  llmops.cluster.vllm_health:
    job_id: "{{ phi3_job.job_id }}"
    api_key_file: /etc/llmops/vllm-api-key
    timeout: 900
  register: phi3
  become: true

- name: Tell where it is
  ansible.builtin.debug:
    msg: "{{ phi3.served_models | first }} answers at {{ phi3.url }}/v1"

- name: The same on a host that does not see the folder of the jobs
  llmops.cluster.vllm_health:
    job_id: "{{ phi3_job.job_id }}"
    port: 8000
    model: phi3
    api_key_file: /etc/llmops/vllm-api-key
  become: true

- name: Look once, whatever the answer
  llmops.cluster.vllm_health:
    url: "{{ phi3.url }}"
    api_key_file: /etc/llmops/vllm-api-key
    timeout: 0
  register: health
  failed_when: false
  become: true

- name: Stop only what hangs, not what is full
  llmops.cluster.slurm_job:
    name: vllm-serve-phi3
    user: vllm
    state: absent
  when: health.state == 'hung'
  become: true

- name: Wait for an embedding model behind a gateway, three times in a row
  llmops.cluster.vllm_health:
    url: https://llm.example.org
    model: bge-small
    task: embed
    passes: 3
    api_key: "{{ gateway_key }}"
"""

RETURN = r"""
ready:
  description: Whether the server answers at the level asked for.
  returned: always
  type: bool
  sample: true
state:
  description:
    - V(pending) the job waits in the queue. V(starting) the job runs, and its port is closed or not yet known.
    - V(loading) the server answers, but cannot take a request yet, or is full. V(ready) all holds.
    - V(hung) it takes requests and does not answer them, or answers with a fault of its own.
    - V(auth_error) it refuses the key. V(wrong_model) something else answers here.
    - V(job_failed) the job has ended. V(unreachable) nothing answers, or Slurm does not say where.
  returned: always
  type: str
  sample: ready
stage:
  description: How far the last look came, one of V(job), V(tcp), V(http), V(model), V(completion).
  returned: always
  type: str
  sample: completion
detail:
  description: What the last look saw.
  returned: always
  type: str
  sample: phi3 answers
busy:
  description: Whether the engine worked for others while our request got no answer.
  returned: always
  type: bool
  sample: false
url:
  description: Base address that was asked last, without C(/v1). None when the job has not told where it is.
  returned: always
  type: str
  sample: http://gpu1:8000
waited:
  description: Seconds from the start of the module to the last look.
  returned: always
  type: float
  sample: 21.4
restarts:
  description: How many times the job was requeued while it was waited for.
  returned: always
  type: int
  sample: 0
served_models:
  description: Names of the models that the server lists, as far as it was asked.
  returned: always
  type: list
  elements: str
  sample: [phi3]
max_model_len:
  description: Longest context of the model, prompt and answer together, in tokens.
  returned: always
  type: int
  sample: 4096
version:
  description: Version of vLLM, if the server tells.
  returned: always
  type: str
  sample: 0.32.0
completion_seconds:
  description: How long the completion took.
  returned: always
  type: float
  sample: 0.052
log:
  description: The last lines of the job's log, secrets masked, for RV(state=job_failed).
  returned: always
  type: str
  sample: ""
"""

import math
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.address import base_url, key_problem, url_problem
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.climb import Target
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.endpoint import JobPlaces, Locate, fixed
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Ladder
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.watch import Found, look_once, wait_ready

# What must be given, in the words of invalid_options.
WHERE = "give url, or host and port, or job_id"


def argument_spec() -> dict[str, t.Any]:
    return {
        "url": {"type": "str"},
        "host": {"type": "str"},
        "port": {"type": "int"},
        "job_id": {"type": "int"},
        "endpoints_dir": {"type": "path", "default": "/home/vllm/vllm-jobs/endpoints"},
        "model": {"type": "str"},
        "level": {"type": "str", "choices": ["tcp", "http", "model", "completion"], "default": "completion"},
        "task": {
            "type": "str",
            "choices": ["generate", "embed", "pooling", "classify", "score"],
            "default": "generate",
        },
        "api_key": {"type": "str", "no_log": True},
        "api_key_file": {"type": "path", "no_log": False},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 600},
        "request_timeout": {"type": "float", "default": 30},
        "interval": {"type": "float", "default": 2},
        "passes": {"type": "int", "default": 1, "no_log": False},
    }


def invalid_options(params: dict[str, t.Any]) -> str | None:
    """What the argument specification cannot say, or None. An explicit null passes its checks."""
    if wrong := _invalid_place(params):
        return wrong
    least: dict[str, tuple[float, bool]] = {
        "timeout": (0, True),
        "request_timeout": (0, False),
        "interval": (0, False),
        "passes": (1, True),
    }
    for name, (low, may_equal) in least.items():
        value = params[name]
        if not math.isfinite(value):
            return f"{name} is {value}; it must be a finite number."
        if value < low or (value == low and not may_equal):
            return f"{name} is {value}; it must be {'at least' if may_equal else 'more than'} {low}."
    return None


def _invalid_place(params: dict[str, t.Any]) -> str | None:
    url, host, port, job_id = (params[name] for name in ("url", "host", "port", "job_id"))
    if port is not None and not 0 < port < 65536:
        return f"port is {port}; it must be from 1 to 65535."
    if job_id is not None and job_id < 1:
        return f"job_id is {job_id}; it must be at least 1."
    if url is None and host is None:
        return None if job_id is not None else f"None of url, host and job_id is set; {WHERE}."
    if url is None and port is None:
        return f"host is set without port; {WHERE}."
    if problem := url_problem(base_url(url, host, port)):
        return f"{'url' if url is not None else 'host'} {problem}."
    return None


def read_key(params: dict[str, t.Any]) -> str | None:
    path = params["api_key_file"]
    if path is None:
        key = params["api_key"] or None
        if key and (problem := key_problem(key)):
            raise HealthError(message=f"Using api_key failed: {problem}.")
        return key
    try:
        key = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        message = f"Reading api_key_file {path} failed: {cause}. Check the path and who may read it."
        raise HealthError(message=message) from error
    if problem := key_problem(key):
        raise HealthError(message=f"Reading api_key_file {path} failed: {problem}.")
    return key


def run(module: AnsibleModule) -> Found:
    params = module.params
    key = read_key(params)
    if key:
        module.no_log_values.add(key)

    def connect(url: str) -> HttpClient:
        return HttpClient(url, api_key=key, verify=params["validate_certs"])

    job_id = params["job_id"]
    locate: Locate
    if params["url"] is None and params["host"] is None:
        name = f"job {job_id}"
        places = JobPlaces(job_id, params["endpoints_dir"], params["port"], connect)
        places.check()
        locate = places
    else:
        name = base_url(params["url"], params["host"], params["port"])
        locate = fixed(name, connect(name))
    job = None
    if job_id is not None:
        # Half of this module is what knows Slurm; a check of an address does without it.
        from ansible_collections.llmops.cluster.plugins.module_utils._vllm.job import job_looker

        job = job_looker(module, job_id, [key] if key else [])
    target = Target(params["model"], params["level"], params["task"], params["request_timeout"])
    ladder = Ladder(locate, target, job)
    if module.check_mode:
        return look_once(ladder, target)
    limits = {option: params[option] for option in ("timeout", "interval", "passes")}
    return wait_ready(ladder, target, name=name, **limits)


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("url", "host"), ("url", "port"), ("api_key", "api_key_file")],
        required_by={"host": "port"},
        required_one_of=[("url", "host", "job_id")],
        supports_check_mode=True,
    )
    if module.check_mode and all(module.params[name] is None for name in ("url", "host", "job_id")):
        # The job that would be looked at is one that check mode did not submit, so it has no id.
        verdict = Verdict("pending", "job", "there is no job to look at: check mode submits none")
        module.exit_json(changed=False, **Found(verdict, 0).facts)
    if wrong := invalid_options(module.params):
        module.fail_json(msg=wrong)
    try:
        found = run(module)
    except HealthError as error:
        module.fail_json(msg=error.message, **error.facts)
    if found.restarts:
        module.warn(
            f"Job {module.params['job_id']} was requeued {found.restarts} times while it was waited for; "
            f"its server is now {found.url}."
        )
    module.exit_json(changed=False, **found.facts)


if __name__ == "__main__":
    main()
