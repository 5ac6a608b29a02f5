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
  - Climbs from the job over the port, C(/health) and C(/v1/models) to a completion of one token, until all of it holds.
    C(/health) alone is never taken for ready, because an engine that hangs or has lost a worker may still answer it.
  - Says in which of nine states the server is when it does not become ready, and what to do about it.
  - Fails at once when waiting cannot help, that is when the job has ended, or the key is refused, or the server serves
    another model for 15 seconds.
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
      - Base address of the server or gateway, without C(/v1).
      - Give either this or O(host) and O(port).
    type: str
  host:
    description:
      - Host of the server, reached by plain HTTP.
    type: str
  port:
    description:
      - Port of the server on O(host).
    type: int
  model:
    description:
      - Name under which the model must be served. Without it any model will do.
    type: str
  level:
    description:
      - How far to climb.
      - V(tcp) is content with an open port.
      - V(http) wants C(/health) to answer 200.
      - V(model) wants the model to be listed.
      - V(completion) wants a token, or a vector for O(task=embed).
    type: str
    choices: [tcp, http, model, completion]
    default: completion
  task:
    description:
      - What the model does, which decides the smallest request there is.
    type: str
    choices: [generate, embed]
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
      - Seconds to wait in all. V(0) looks once.
    type: float
    default: 600
  request_timeout:
    description:
      - Seconds that one completion may take. Other requests get at most 5 of them.
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
  job_id:
    description:
      - Slurm job of the server. While it waits in the queue the state is V(pending), and when it has ended the module
        fails at once and shows the end of its log.
      - Needs Slurm's commands on the host. Slurm is asked at most every 2 seconds.
    type: int
seealso:
  - module: llmops.cluster.slurm_job
author:
  - llmops.cluster maintainers (@llmops)
"""

EXAMPLES = r"""
- name: Wait until the model answers
  llmops.cluster.vllm_health:
    host: gpu1
    port: 8000
    model: phi3
    api_key_file: /etc/llmops/vllm-api-key
    job_id: "{{ phi3_job.job_id }}"
    timeout: 900

- name: Look once, whatever the answer
  llmops.cluster.vllm_health:
    url: http://gpu1:8000
    timeout: 0
  register: health
  failed_when: false

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
    - V(pending) the job waits in the queue. V(starting) the job runs and the port is closed.
    - V(loading) the server answers, but not yet. V(ready) all holds.
    - V(hung) it takes requests and does not answer them, or answers with a fault of its own.
    - V(auth_error) it refuses the key. V(wrong_model) something else answers here.
    - V(job_failed) the job has ended. V(unreachable) nothing answers.
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
waited:
  description: Seconds from the start of the module to the last look.
  returned: always
  type: float
  sample: 21.4
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

import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import HttpClient
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.job import job_looker
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.ladder import Found, Ladder, Target, wait_ready


def argument_spec() -> dict[str, t.Any]:
    return {
        "url": {"type": "str"},
        "host": {"type": "str"},
        "port": {"type": "int"},
        "model": {"type": "str"},
        "level": {"type": "str", "choices": ["tcp", "http", "model", "completion"], "default": "completion"},
        "task": {"type": "str", "choices": ["generate", "embed"], "default": "generate"},
        "api_key": {"type": "str", "no_log": True},
        "api_key_file": {"type": "path", "no_log": False},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 600},
        "request_timeout": {"type": "float", "default": 30},
        "interval": {"type": "float", "default": 2},
        "passes": {"type": "int", "default": 1, "no_log": False},
        "job_id": {"type": "int"},
    }


def base_url(params: dict[str, t.Any]) -> str:
    if params["url"] is None:
        # A literal IPv6 address needs brackets.
        host = f"[{params['host']}]" if ":" in params["host"] else params["host"]
        return f"http://{host}:{params['port']}"
    return str(params["url"]).rstrip("/").removesuffix("/v1")


def invalid_options(params: dict[str, t.Any]) -> str | None:
    """What the argument specification cannot say, or None."""
    if params["url"] is None and (params["host"] is None or params["port"] is None):
        # An explicit null passes the checks of the argument specification.
        return "url is not set, and host and port are not both set; give one or the other."
    url = base_url(params)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        usable = False
    if not usable:
        return (
            "url, or host and port, must give an http or https address without user or password, like http://gpu1:8000."
        )
    least: dict[str, tuple[float, bool]] = {
        "timeout": (0, True),
        "request_timeout": (0, False),
        "interval": (0, False),
        "passes": (1, True),
    }
    for name, (low, may_equal) in least.items():
        value = params[name]
        if value < low or (value == low and not may_equal):
            return f"{name} is {value}; it must be {'at least' if may_equal else 'more than'} {low}."
    return None


def read_key(params: dict[str, t.Any]) -> str | None:
    path = params["api_key_file"]
    if path is None:
        return params["api_key"] or None
    try:
        key = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        message = f"Reading api_key_file {path} failed: {cause}. Check the path and who may read it."
        raise HealthError(message=message) from error
    if not key:
        raise HealthError(message=f"Reading api_key_file {path} failed: it is empty. Put the key into it.")
    return key


def run(module: AnsibleModule) -> Found:
    params = module.params
    key = read_key(params)
    if key:
        module.no_log_values.add(key)
    url = base_url(params)
    client = HttpClient(url, api_key=key, verify=params["validate_certs"])
    target = Target(
        name=url,
        model=params["model"],
        level=params["level"],
        task=params["task"],
        request_timeout=params["request_timeout"],
    )
    job = job_looker(module, params["job_id"], [key] if key else []) if params["job_id"] is not None else None
    ladder = Ladder(client, target, job)
    if module.check_mode:
        return Found(ladder.look(target.request_timeout), waited=0.0)
    return wait_ready(ladder, target, timeout=params["timeout"], interval=params["interval"], passes=params["passes"])


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("url", "host"), ("url", "port"), ("api_key", "api_key_file")],
        required_together=[("host", "port")],
        required_one_of=[("url", "host")],
        supports_check_mode=True,
    )
    if wrong := invalid_options(module.params):
        module.fail_json(msg=wrong)
    try:
        module.exit_json(changed=False, **run(module).facts)
    except HealthError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
