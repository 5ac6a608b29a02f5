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
  - Free space is checked before the first byte. Every file is verified against the size and hash that the hub states.
    The revision becomes visible by one rename after all of it has been verified, so a reader finds all of a model or
    none of it.
  - A revision given as a commit that is already complete costs no network access at all.
  - One run at a time writes a repository of a cache; a second one waits and then finds it present.
  - A manifest with the size and hash of each file is kept beside the snapshot, in C(.llmops/manifests) of the
    repository's folder.
  - Files that were verified before a run was interrupted are not fetched again.
extends_documentation_fragment:
  - llmops.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - RV(bytes_to_download) tells what a run would fetch. The hub is asked for the listing.
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
        A name is looked up in the cache, not on the hub.
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
    type: str
    default: https://huggingface.co
  token:
    description:
      - Access token, for private and gated models.
      - Without O(token) and O(token_file) no token is used, also if one is stored for the user on the host.
    type: str
  token_file:
    description:
      - File on the host that holds the token.
    type: path
  allow_patterns:
    description:
      - Which files to bring, as shell patterns matched against the whole path. A trailing slash means the folder.
      - The default leaves out pickled weights (C(*.bin), C(*.pt)), which run code when they are read, and Python files.
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
requirements:
  - huggingface_hub (on the managed host; for O(state=present) when something has to be asked of the hub)
seealso:
  - module: llmops.cluster.vllm_health
author:
  - llmops.cluster maintainers (@llmops)
"""

EXAMPLES = r"""
- name: Bring a model at a pinned commit
  llmops.cluster.hf_model:
    repo_id: microsoft/Phi-3-mini-4k-instruct
    revision: f39ac1d28e925b323eae81227eaba4464caced4e
  register: phi3

- name: Show what a gated model would cost, without bringing it
  llmops.cluster.hf_model:
    repo_id: mistralai/Mistral-7B-Instruct-v0.3
    token_file: /root/.hf-token
    ignore_patterns: ["consolidated*.safetensors"]
  check_mode: true
  register: plan

- name: Bring a model from another host of the cluster, with the interpreter that has huggingface_hub
  llmops.cluster.hf_model:
    repo_id: microsoft/Phi-3-mini-4k-instruct
    revision: "{{ phi3.commit }}"
    endpoint: http://gpu1:8090
    token: "{{ peer_token }}"
  vars:
    ansible_python_interpreter: /opt/vllm/venv/bin/python

- name: Remove a revision that is no longer served
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
  description: Bytes that were missing from the cache when the module looked; in check mode, the bytes to come.
  returned: success
  type: int
  sample: 7642159104
bytes_downloaded:
  description: Bytes of the files that were fetched. V(0) if nothing changed, and in check mode.
  returned: success
  type: int
  sample: 7642159104
error_kind:
  description: What went wrong, in one word.
  returned: failure
  type: str
  sample: licence
"""

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import HubClient, load_library
from ansible_collections.llmops.cluster.plugins.module_utils._hub.download import (
    Outcome,
    Request,
    ensure_absent,
    ensure_present,
)
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError, LibraryMissingError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    DEFAULT_PATTERNS,
    Choice,
    invalid_name,
)


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
    if wrong := invalid_name(params["repo_id"], params["revision"]):
        return wrong
    if not params["endpoint"].startswith(("https://", "http://")) or "@" in params["endpoint"]:
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
        return params["token"] or None
    try:
        token = Path(params["token_file"]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        message = f"Reading token_file {params['token_file']} failed: {cause}. Check the path and who may read it."
        raise HubError(kind="auth", message=message) from error
    if not token:
        message = f"Reading token_file {params['token_file']} failed: it is empty. Put the token into it."
        raise HubError(kind="auth", message=message)
    return token


def run(module: AnsibleModule) -> Outcome:
    params = module.params
    cache = ModelCache(Path(params["cache_dir"]), params["repo_id"])
    request = Request(
        revision=params["revision"],
        choice=Choice(allow=tuple(params["allow_patterns"]), ignore=tuple(params["ignore_patterns"])),
        max_workers=params["max_workers"],
        reserve_bytes=params["reserve_bytes"],
        lock_timeout=params["lock_timeout"],
        check_mode=module.check_mode,
    )
    if params["state"] == "absent":
        return ensure_absent(cache, request)
    token = read_token(params)
    if token:
        module.no_log_values.add(token)
    endpoint = params["endpoint"].rstrip("/")
    client = HubClient(lambda: load_library(os.environ, endpoint, cache.fetching), endpoint=endpoint, token=token)
    return ensure_present(cache, client, request)


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
    except LibraryMissingError as error:
        module.fail_json(msg=missing_required_lib("huggingface_hub"), exception=error.trace)
    except HubError as error:
        module.fail_json(msg=error.message, error_kind=error.kind)
    except OSError as error:
        message = f"Writing {module.params['repo_id']} into {module.params['cache_dir']} failed: {error.strerror}"
        module.fail_json(msg=f"{message} ({error.filename}). Check space, owner and mode.", error_kind="disk")


if __name__ == "__main__":
    main()
