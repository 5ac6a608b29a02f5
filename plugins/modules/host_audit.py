#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_audit
short_description: Say where a host is not as it shall be
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Looks at users, packages, files, Python packages and services in one call and says in words what is not as wanted.
  - A role asks it first and does its own tasks only where something differs, so a run that has nothing to do takes one
    task instead of many.
  - What is not named is not looked at. A role must name all that its tasks would change.
extends_documentation_fragment:
  - llmops.cluster.attributes
  - llmops.cluster.attributes.info_module
options:
  groups:
    description:
      - Groups that shall exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the group.
        type: str
        required: true
      gid:
        description: Its number; without it any.
        type: int
  users:
    description:
      - Users that shall exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      uid:
        description: Its number.
        type: int
      group:
        description: Name of its first group.
        type: str
      home:
        description: Its home.
        type: path
      shell:
        description: Its shell.
        type: path
  packages:
    description:
      - Packages of C(dpkg) or C(rpm) that shall be installed, in any version.
    type: list
    elements: str
    default: []
  held_packages:
    description:
      - Packages of C(dpkg) that shall be installed in this very version, and be on hold.
    type: dict
    default: {}
  package_lists_age:
    description:
      - The age in seconds at which the package lists of apt are too old; V(0) does not look.
    type: int
    default: 0
  files:
    description:
      - Files, folders and links.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      state:
        description: What it shall be.
        type: str
        choices: [file, directory, link, absent]
        default: file
      target:
        description: Where a link shall lead, as it is written in it.
        type: str
      sha256:
        description: SHA-256 of the content of a file, in hexadecimal; without it the content is not looked at.
        type: str
      owner:
        description: Name of the owner.
        type: str
      group:
        description: Name of the group.
        type: str
      mode:
        description: Permissions as four octal digits, such as V('0644').
        type: str
      only_with:
        description: Look at it only where something is at this path.
        type: path
      only_without:
        description: Look at it only where nothing is at this path.
        type: path
  python_packages:
    description:
      - Python packages that shall be installed in a virtual environment.
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description: Folder of the environment, or a link to it.
        type: path
        required: true
      name:
        description: Name of the package, in any spelling that its index takes.
        type: str
        required: true
      version:
        description: Its version.
        type: str
        required: true
      only_with:
        description: Look at it only where something is at this path.
        type: path
      only_without:
        description: Look at it only where nothing is at this path.
        type: path
  services:
    description:
      - Services of systemd that shall be enabled and run, and need no reload of their unit.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name without its suffix.
        type: str
        required: true
      files:
        description: Files and links that the service reads when it starts; none may have changed after that.
        type: list
        elements: path
        default: []
  thorough:
    description:
      - Whether to call the host different in any case, so that all tasks of the role run.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Compare this host with what it shall have
  llmops.cluster.host_audit:
    packages: [munge]
    files:
      - {path: /etc/munge/munge.key, owner: munge, group: munge, mode: "0400"}
    services:
      - {name: munge, files: [/etc/munge/munge.key]}
  register: audit

- name: Install it where something differs
  ansible.builtin.include_tasks: install.yml
  when: audit.differences | length > 0
"""

RETURN = r"""
differences:
  description: A sentence for each thing that is not as wanted; empty when the host is as it shall be.
  returned: always
  type: list
  elements: str
  sample: ["user munge has uid 105, not 402"]
missing:
  description: The paths among O(files) where nothing is.
  returned: always
  type: list
  elements: str
versions:
  description: The version of each package among O(packages) that is installed.
  returned: always
  type: dict
"""

import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils import _audit


def audit(wanted: t.Mapping[str, t.Any], run: _audit.Run, is_debian: bool) -> dict[str, t.Any]:
    """What the module returns."""
    versions = _audit.versions(wanted["packages"], run, is_debian)
    of_files, missing = _audit.files(wanted["files"])
    differences = [
        *(["every task was asked for (thorough)"] if wanted["thorough"] else []),
        *_audit.groups(wanted["groups"]),
        *_audit.users(wanted["users"]),
        *(f"package {name} is not installed" for name in wanted["packages"] if name not in versions),
        *_audit.held(wanted["held_packages"], run),
        *(_audit.lists(wanted["package_lists_age"]) if wanted["package_lists_age"] else []),
        *of_files,
        *_audit.python_packages(wanted["python_packages"]),
        *_audit.services(wanted["services"], run),
    ]
    return {"differences": differences, "missing": missing, "versions": versions}


def main() -> None:
    account = {"name": {"type": "str", "required": True}}
    conditions = {"only_with": {"type": "path"}, "only_without": {"type": "path"}}
    file = {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
        **{name: {"type": "str"} for name in ("target", "sha256", "owner", "group", "mode")},
        **conditions,
    }
    package = {
        **{name: {"type": "str", "required": True} for name in ("name", "version")},
        "prefix": {"type": "path", "required": True},
        **conditions,
    }
    service = {"name": {"type": "str", "required": True}, "files": {"type": "list", "elements": "path", "default": []}}
    user = {
        **account,
        "uid": {"type": "int"},
        "group": {"type": "str"},
        "home": {"type": "path"},
        "shell": {"type": "path"},
    }
    dicts = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "groups": {**dicts, "options": {**account, "gid": {"type": "int"}}},
            "users": {**dicts, "options": user},
            "packages": {"type": "list", "elements": "str", "default": []},
            "held_packages": {"type": "dict", "default": {}},
            "package_lists_age": {"type": "int", "default": 0},
            "files": {**dicts, "options": file},
            "python_packages": {**dicts, "options": package},
            "services": {**dicts, "options": service},
            "thorough": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )

    def run(argv: list[str]) -> str:
        return str(module.run_command(argv, environ_update={"LC_ALL": "C"})[1])

    try:
        result = audit(module.params, run, shutil.which("dpkg-query") is not None)
    except OSError as error:
        module.fail_json(msg=f"Looking at this host failed: {error}. Nothing was changed.")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
