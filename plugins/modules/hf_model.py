#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hf_model
version_added: 0.1.0
short_description: Keep a model of a Hugging Face hub in a local cache
description:
  - Makes one revision of a model present in a cache with the layout of C(HF_HUB_CACHE), or absent from it.
  - Free space, less what other runs at work are going to take, is checked before the first byte. Every file is verified
    against the size and hash that the hub states. The revision becomes visible by one rename after all of it has been
    verified, so a reader finds all of a model or none of it.
  - A run that was interrupted, killed or cut off loses nothing. The next one goes on in the middle of each file, and
    does not fetch again what is here.
  - A revision given as a commit that is already complete costs no network access at all.
  - One run at a time writes a repository of a cache, also when the cache is a file system that many hosts share and
    whose locks do nothing. A second run waits and then finds the revision present. After the death of a host that was
    writing, a run on another one waits two minutes before it takes over.
  - What the hub refuses fails at once. What may pass (a cut connection, 408, 429, 5xx) is tried four times at most,
    with pauses of 1, 4 and 16 seconds or, up to five minutes, as long as the hub asks for. A try that brings much
    of a file does not count.
  - The token is sent to the host of O(endpoint) alone, and is put into no command line, environment, file or log.
extends_documentation_fragment:
  - llmops.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - RV(bytes_to_download) tells what a run would fetch. The hub is asked for the listing and, because hubs list what
        they then do not give, for one byte of a file.
      - With O(state=absent), whether the revision is in use is looked up as in a run.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - If O(revision) is a branch or tag that has moved on the hub, the next run brings the new commit.
options:
  repo_id:
    description:
      - Organisation and name of the model on the hub.
    type: str
    required: true
  revision:
    description:
      - Branch, tag, or commit of 40 hexadecimal digits. Pin a commit in production.
    type: str
    default: main
  state:
    description:
      - V(present) brings the revision.
      - V(absent) removes this revision, the names that stand for it and the content that no other revision uses.
        A name is looked up in the cache, not on the hub. If no revision of the repository is left to see, what an
        interrupted download left goes too.
      - V(absent) refuses while the revision is in use. It is when a process of this host has its files open, or when
        a job that waits or runs in this cluster's Slurm names it in its script or, where the script takes arguments, in
        its submission. To name it is to have its commit, or the repository without the commit of another revision that
        is in the cache. An answer that Slurm does not give counts as yes.
      - Run V(absent) as root, or only this user's jobs are seen. Where Slurm is not installed, only the processes of
        this host are looked at.
    type: str
    choices: [present, absent]
    default: present
  cache_dir:
    description:
      - The cache. It is made if it does not exist. Owner and mode follow the user that runs the module and its umask.
    type: path
    default: /opt/models
  endpoint:
    description:
      - Address of the hub.
      - The proxy variables of the environment (E(HTTPS_PROXY), E(NO_PROXY)) and the CA certificates of the host hold.
    type: str
    default: https://huggingface.co
  token:
    description:
      - Access token, for private and gated models.
      - Without O(token) (or with an empty one) and O(token_file) no token is used, also if one is stored for the user
        on the host.
    type: str
  token_file:
    description:
      - File on the host that holds the token.
    type: path
  allow_patterns:
    description:
      - Which files to bring, as shell patterns matched against the whole path. A trailing slash means the folder.
      - The default leaves out pickled weights (C(*.bin), C(*.pt)), which run code when they are read, and Python files.
      - Files of the revision that are already in the cache stay, whatever the patterns.
    type: list
    elements: str
    default: ["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"]
  ignore_patterns:
    description:
      - Which of these to leave out, for example a second copy of the weights in another layout.
    type: list
    elements: str
    default: []
  max_workers:
    description:
      - How many files are fetched and verified at a time.
    type: int
    default: 8
  reserve_bytes:
    description:
      - Bytes that must stay free on the file system of O(cache_dir).
    type: int
    default: 1073741824
  lock_timeout:
    description:
      - Seconds to wait for another run that writes the same repository into the same cache.
    type: int
    default: 3600
notes:
  - Runs with the standard library of Python 3.11 or later on the managed host; huggingface_hub is not needed.
  - The cache needs symbolic links. Folders C(.llmops) of a repository and C(.locks) of the cache belong to the module.
seealso:
  - module: llmops.cluster.vllm_health
  - module: llmops.cluster.slurm_job
author:
  - llmops.cluster maintainers (@llmops)
"""

EXAMPLES = r"""
- name: Bring a model at a pinned commit
  llmops.cluster.hf_model:
    repo_id: microsoft/Phi-3-mini-4k-instruct
    revision: f39ac1d28e925b323eae81227eaba4464caced4e
  register: phi3

- name: Show what a gated model would cost, without bringing it; the token is in the environment of ansible-playbook
  llmops.cluster.hf_model:
    repo_id: mistralai/Mistral-7B-Instruct-v0.3
    token: "{{ lookup('ansible.builtin.env', 'HF_TOKEN') }}"
    ignore_patterns: ["consolidated*.safetensors"]
  check_mode: true
  register: plan
  failed_when: plan is failed and plan.error_kind not in ['auth', 'licence']

- name: Print it, or where to accept the licence
  ansible.builtin.debug:
    msg: >-
      {{ plan.msg if plan.error_kind is defined else
      (plan.bytes_to_download | ansible.builtin.human_readable) ~ ' to come at commit ' ~ plan.commit }}

- name: Bring the tokenizer alone into the cache of the user that will read it
  llmops.cluster.hf_model:
    repo_id: microsoft/Phi-3-mini-4k-instruct
    cache_dir: ~/.cache/huggingface/hub
    allow_patterns: ["tokenizer*", "special_tokens_map.json"]
    reserve_bytes: 0

- name: Remove a revision that is no longer served; fails while a job uses it
  llmops.cluster.hf_model:
    repo_id: microsoft/Phi-3-mini-4k-instruct
    revision: f39ac1d28e925b323eae81227eaba4464caced4e
    state: absent
"""

RETURN = r"""
path:
  description: Folder of the snapshot, to be given to an engine. Null after O(state=absent).
  returned: success
  type: str
  sample: /opt/models/models--microsoft--Phi-3-mini-4k-instruct/snapshots/f39ac1d28e925b323eae81227eaba4464caced4e
commit:
  description: The commit that O(revision) stands for. Null if nothing was to be removed.
  returned: success
  type: str
  sample: f39ac1d28e925b323eae81227eaba4464caced4e
files:
  description: Names of the files of the snapshot, as far as the patterns choose them.
  returned: success
  type: list
  elements: str
  sample: [config.json, model.safetensors, tokenizer.json]
total_bytes:
  description: Bytes of these files together.
  returned: success
  type: int
  sample: 7642159104
bytes_to_download:
  description:
    - Bytes that were missing from the cache when the module looked; in check mode, the bytes to come. What an
      interrupted run left is not counted.
  returned: success
  type: int
  sample: 7642159104
bytes_downloaded:
  description: Bytes that came from the hub. V(0) if nothing changed, and in check mode.
  returned: success
  type: int
  sample: 7642159104
error_kind:
  description:
    - What went wrong, in one word, for a playbook to decide by.
    - V(auth) no token, or not a good one; V(licence) access to the repository is to be asked for, RV(msg) says where;
      V(repository), V(revision), V(files) there is no such thing; V(rate_limit) the hub wants fewer requests;
      V(server) the hub has a fault or is no hub; V(connection) the hub was not reached or the connection cut;
      V(integrity) what came is not what the hub listed; V(disk) no space, or not writable; V(lock) another run writes;
      V(in_use) not removed because somebody uses it, or because Slurm could not be asked.
  returned: failure
  type: str
  sample: licence
msg:
  description: What was tried on what, why it failed and what to do.
  returned: failure
  type: str
  sample: >-
    Downloading config.json of org/name from https://huggingface.co failed: the licence of org/name has not been
    accepted by the owner of the token. Ask for access on https://huggingface.co/org/name.
"""

import os
import re
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    COMMIT,
    DEFAULT_PATTERNS,
    Choice,
    invalid_name,
)
from ansible_collections.llmops.cluster.plugins.module_utils._hub.outcome import Outcome, already_here

# Seconds until a controller that does not answer makes a removal fail.
SLURM_PATIENCE = 30.0


def argument_spec() -> dict[str, t.Any]:
    return {
        "repo_id": {"type": "str", "required": True},
        "revision": {"type": "str", "default": "main"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "cache_dir": {"type": "path", "default": "/opt/models"},
        "endpoint": {"type": "str", "default": "https://huggingface.co"},
        "token": {"type": "str", "no_log": True},
        "token_file": {"type": "path", "no_log": False},
        "allow_patterns": {"type": "list", "elements": "str", "default": list(DEFAULT_PATTERNS)},
        "ignore_patterns": {"type": "list", "elements": "str", "default": []},
        "max_workers": {"type": "int", "default": 8},
        "reserve_bytes": {"type": "int", "default": 1073741824},
        "lock_timeout": {"type": "int", "default": 3600},
    }


def invalid_options(params: dict[str, t.Any]) -> str | None:
    """What the argument specification cannot say, or None."""
    if not os.path.isabs(params["cache_dir"]):
        return f"cache_dir is {params['cache_dir']}; it must be an absolute path."
    if wrong := invalid_name(params["repo_id"], params["revision"]):
        return wrong
    if not re.fullmatch(r"https?://[\x21-\x7e]+", params["endpoint"]) or "@" in params["endpoint"]:
        return "endpoint must be the http or https address of a hub, without user or password; use token."
    if params["max_workers"] < 1:
        return f"max_workers is {params['max_workers']}; it must be at least 1."
    if params["reserve_bytes"] < 0:
        return f"reserve_bytes is {params['reserve_bytes']}; it must not be negative."
    if not params["allow_patterns"]:
        return "allow_patterns is empty; leave it out for the default, or give at least one pattern."
    return None


def read_token(params: dict[str, t.Any]) -> str | None:
    if params["token_file"] is None:
        token, where = params["token"], "Reading token"
    else:
        where = f"Reading token_file {params['token_file']}"
        try:
            token = Path(params["token_file"]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not text"
            raise HubError(
                kind="auth", message=f"{where} failed: {cause}. Check the path and who may read it."
            ) from error
        if not token.strip():
            raise HubError(kind="auth", message=f"{where} failed: it is empty. Put the token into it.")
    token = (token or "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        # Said here, without the token: the HTTP library would put it into the message of its exception.
        raise HubError(kind="auth", message=f"{where} failed: a token is one word of ASCII. Check what was put there.")
    return token or None


def find_users(module: AnsibleModule, cache: ModelCache, commit: str) -> list[str]:
    from ansible_collections.llmops.cluster.plugins.module_utils._hub import users
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm import connect
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SlurmError

    found = users.processes_with([cache.blobs / name for name in cache.unused_blobs(without=commit)])
    if connect.slurm_is_here(module):
        account = connect.find_account(None)
        tools = connect.find_tools(module, account)
        client = SlurmClient(tools, account, os.environ, patience=SLURM_PATIENCE)
        queue = users.Queue(client)
        # Only root is shown everybody's scripts; the cache of another user serves that user's jobs.
        user = None if os.geteuid() == 0 else account.name
        others = [other for other in cache.commits() if other != commit]
        try:
            found += users.jobs_with(queue, user, cache.repo_id, commit, others)
        except SlurmError as error:
            message = f"Asking Slurm which jobs use {commit} of {cache.repo_id} failed, so it is kept. {error.message}"
            raise HubError(kind="in_use", message=message) from error
    return found


def warn_of_unknown(module: AnsibleModule, cache: ModelCache, outcome: Outcome) -> None:
    """That a name stands for nothing here may also mean that the model came by its commit."""
    revision = module.params["revision"]
    if not outcome.changed and not COMMIT.fullmatch(revision) and (here := cache.commits()):
        cause = f"{cache.repo_id} has no revision {revision} in {cache.cache_dir}"
        module.warn(f"{cause}, so nothing was removed. These are there: {', '.join(here)}.")


def run(module: AnsibleModule) -> Outcome:
    params = module.params
    cache = ModelCache(Path(params["cache_dir"]), params["repo_id"])
    choice = Choice(allow=tuple(params["allow_patterns"]), ignore=tuple(params["ignore_patterns"]))
    present = params["state"] == "present"
    token = read_token(params) if present else None
    if token:
        module.no_log_values.add(token)
    found = already_here(cache, params["revision"], choice) if present else None
    if found:
        return found
    # Most runs end above. Ansible sends source, and what is imported is compiled anew in each of them.
    from ansible_collections.llmops.cluster.plugins.module_utils._hub import client, download

    request = download.Request(
        revision=params["revision"],
        choice=choice,
        max_workers=params["max_workers"],
        reserve_bytes=params["reserve_bytes"],
        lock_timeout=params["lock_timeout"],
        check_mode=module.check_mode,
    )
    if not present:
        outcome = download.ensure_absent(cache, request, lambda cache, commit: find_users(module, cache, commit))
        warn_of_unknown(module, cache, outcome)
        return outcome
    return download.ensure_present(cache, client.HubClient(endpoint=params["endpoint"], token=token), request)


def result(outcome: Outcome) -> dict[str, t.Any]:
    return {
        "changed": outcome.changed,
        "path": outcome.path,
        "commit": outcome.commit,
        "files": list(outcome.files),
        # Not "size": Ansible puts that of the folder itself beside any "path".
        "total_bytes": outcome.size,
        "bytes_to_download": outcome.bytes_to_download,
        "bytes_downloaded": outcome.bytes_downloaded,
        "diff": outcome.diff or {"before": {}, "after": {}},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(), mutually_exclusive=[("token", "token_file")], supports_check_mode=True
    )
    if wrong := invalid_options(module.params):
        module.fail_json(msg=wrong)
    try:
        module.exit_json(**result(run(module)))
    except HubError as error:
        module.fail_json(msg=error.message, error_kind=error.kind)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        message = (
            f"Writing {module.params['repo_id']} into {module.params['cache_dir']} failed: {error.strerror}{where}"
        )
        module.fail_json(msg=f"{message}. Check space, owner and mode.", error_kind="disk")


if __name__ == "__main__":
    main()
