#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hf_model_info
version_added: 0.1.0
short_description: Read what models are and how much they weigh
description:
  - Reads the C(config.json) of models and adds up the files of their weights, in a local cache or, where they are not
    there, on a Hugging Face hub. From a hub come the listing of the revision and two small files, never weights.
  - What it returns is what P(llmops.cluster.serving_plan#filter) plans with.
extends_documentation_fragment:
  - llmops.cluster.attributes
  - llmops.cluster.attributes.info_module
options:
  models:
    description:
      - The models, entries of a catalogue. Only C(name), C(model_id) and C(revision) are read.
    type: list
    elements: dict
    required: true
  cache_dir:
    description:
      - The cache, with the layout of C(HF_HUB_CACHE).
    type: path
    default: /opt/models
  endpoint:
    description:
      - Address of the hub that is asked for models which are not in O(cache_dir). Empty asks nobody.
    type: str
    default: ""
  token:
    description:
      - Access token of the hub, for private and gated models.
    type: str
  measure_mib:
    description:
      - MiB to read from the largest file of each cached model, past the page cache, to learn how fast the disk is.
        V(0) reads none.
    type: int
    default: 0
notes:
  - Runs with the standard library of Python 3.11 or later on the managed host.
seealso:
  - module: llmops.cluster.hf_model
author:
  - llmops.cluster maintainers (@llmops)
"""

EXAMPLES = r"""
- name: Read what the catalogue's models weigh, without downloading them
  llmops.cluster.hf_model_info:
    models: "{{ vllm_models | llmops.cluster.catalogue_plan(vllm_defaults) }}"
    endpoint: https://huggingface.co
  register: known

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.key }}: {{ item.value.weights_bytes | ansible.builtin.human_readable }}"
  loop: "{{ known.models | dict2items }}"
"""

RETURN = r"""
models:
  description: What is known of each model, by its name. Models that are nowhere are left out.
  returned: success
  type: dict
  sample: {phi3: {config: {}, source: cache, weights_bytes: 7642181880}}
  contains:
    commit:
      description: The commit that the revision stands for.
      type: str
    config:
      description: The content of C(config.json).
      type: dict
    weights_bytes:
      description: Size of the files that an engine loads; none when there are no such files.
      type: int
    source:
      description: Where it was found, V(cache) or V(hub).
      type: str
    mib_per_second:
      description: What the disk gave, when O(measure_mib) asked for it; else none.
      type: float
failures:
  description: Why models are left out, by their names.
  returned: success
  type: dict
  sample: {mistral: "/opt/models does not have it, and no endpoint is given"}
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import HubClient
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import invalid_name
from ansible_collections.llmops.cluster.plugins.module_utils._hub.weigh import Found, disk_rate, in_cache, on_hub


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "models": {"type": "list", "elements": "dict", "required": True},
        "cache_dir": {"type": "path", "default": "/opt/models"},
        "endpoint": {"type": "str", "default": ""},
        "token": {"type": "str", "no_log": True},
        "measure_mib": {"type": "int", "default": 0},
    }


def look(params: t.Mapping[str, t.Any], repo_id: str, revision: str) -> tuple[str, Found] | str:
    """Where one model was found and what it is, or why it was not."""
    wrong = invalid_name(repo_id, revision)
    if wrong:
        return wrong
    try:
        found = in_cache(Path(params["cache_dir"]), repo_id, revision)
        if found is not None:
            return "cache", found
        if not params["endpoint"]:
            return f"{params['cache_dir']} does not have it, and no endpoint is given"
        return "hub", on_hub(HubClient(endpoint=params["endpoint"], token=params["token"]), repo_id, revision)
    except HubError as error:
        return error.message
    except (OSError, ValueError) as error:
        return f"Reading config.json of {repo_id} failed: {error}. Check the files of the repository."


def measured(params: t.Mapping[str, t.Any], repo_id: str, found: Found) -> float | None:
    """How fast the largest file comes from the disk, if that is asked for."""
    if params["measure_mib"] <= 0 or found.largest is None:
        return None
    path = ModelCache(Path(params["cache_dir"]), repo_id).snapshot(found.commit) / found.largest
    try:
        return disk_rate(path, params["measure_mib"] * 2**20)
    except OSError:
        return None


def look_all(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """All models, and why those that are missing are."""
    models: dict[str, dict[str, t.Any]] = {}
    failures: dict[str, str] = {}
    for entry in params["models"]:
        repo_id = str(entry.get("model_id", ""))
        name = str(entry.get("name", repo_id))
        result = look(params, repo_id, str(entry.get("revision") or "main"))
        if isinstance(result, str):
            failures[name] = result
            continue
        source, found = result
        models[name] = {
            "commit": found.commit,
            "config": found.config,
            "weights_bytes": found.weights_bytes,
            "source": source,
            "mib_per_second": measured(params, repo_id, found) if source == "cache" else None,
        }
    return {"models": models, "failures": failures}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.exit_json(changed=False, **look_all(module.params))


if __name__ == "__main__":
    main()
