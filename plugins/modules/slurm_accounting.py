#!/usr/bin/python
# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slurm_accounting
short_description: Keep Slurm's QOS, accounts, users and limits as declared
version_added: 0.1.0
author:
  - llmops.cluster maintainers (@llmops)
description:
  - Takes the whole declaration of one cluster, compares it with the accounting database and makes the changes in the
    order in which Slurm takes them.
  - What is not named is left alone, other things and other values of the same thing alike, unless O(purge=true).
  - Names point only to what is declared here. What is there already is declared by its name alone, which changes
    nothing of it. The QOS V(normal) and the account V(root) need no declaration.
  - A run that stopped in the middle is simply run again.
notes:
  - Runs on the controller's host, as root, SlurmUser or an administrator of Slurm.
  - A user has to be there on the controller's host, or slurmctld refuses the jobs. The module warns of users that this
    host does not have, and makes slurmctld look again (C(scontrol reconfigure)) for those that came later.
  - Slurm keeps names, descriptions and organizations in lower case. Names with capitals are refused.
  - In a list entry a key that is null counts as left out. In C(limits) null means that there is no limit, as do
    V(-1) and V(unlimited).
  - YAML reads an unquoted C(24:00:00) as the number 86400. Quote times.
  - Fair share and limits do nothing before slurm.conf says so (C(PriorityType), C(AccountingStorageEnforce)).
extends_documentation_fragment:
  - llmops.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  cluster:
    description:
      - The cluster's name (C(ClusterName)), as the database knows it.
    type: str
    required: true
  qos:
    description:
      - Qualities of service.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      description:
        description: One line of text. Slurm's own is the name.
        type: str
      priority:
        description: Added to the priority of its jobs, times C(PriorityWeightQOS).
        type: int
      flags:
        description: Slurm's flags, such as V(DenyOnLimit).
        type: list
        elements: str
      preempt:
        description: The QOS whose jobs its jobs may preempt.
        type: list
        elements: str
      preempt_mode:
        description: What happens to its preempted jobs, such as V(requeue); V(cluster) for the cluster's own.
        type: list
        elements: str
      preempt_exempt_time:
        description:
          - Seconds, or a quoted time, that its jobs may run before they can be preempted; V(-1) for the cluster's own.
        type: str
      grace_time:
        description: Seconds, or a quoted time, between the announcement of a preemption and its execution.
        type: str
      usage_factor:
        description: By how much the usage of its jobs counts.
        type: float
      usage_threshold:
        description: The lowest fair share with which a job may run; V(-1) for none.
        type: raw
      limit_factor:
        description: By how much limits of associations are multiplied for its jobs; V(-1) for not at all.
        type: raw
      limits:
        description:
          - "Numbers: V(grp_jobs), V(grp_jobs_accrue), V(grp_submit_jobs), V(max_jobs_per_user),
            V(max_jobs_per_account), V(max_submit_jobs_per_user), V(max_submit_jobs_per_account),
            V(max_jobs_accrue_per_user), V(max_jobs_accrue_per_account), V(min_prio_threshold)."
          - "Minutes, or a quoted time: V(grp_wall), V(max_wall)."
          - "Mappings of TRES to amounts: V(grp_tres), V(grp_tres_mins), V(grp_tres_run_mins), V(max_tres_per_job),
            V(max_tres_per_node), V(max_tres_mins_per_job), V(max_tres_per_user), V(max_tres_per_account),
            V(max_tres_run_mins_per_user), V(max_tres_run_mins_per_account), V(min_tres_per_job). A number of
            C(mem) counts MiB; V(64G) will do."
        type: dict
        default: {}
  accounts:
    description:
      - Accounts, in any order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name.
        type: str
        required: true
      state:
        description:
          - Whether it shall be there.
          - An account that others are in is removed only when these are declared elsewhere or absent too.
        type: str
        choices: [present, absent]
        default: present
      parent:
        description: The account above it. A new account without one is put below V(root), one that is there stays.
        type: str
      description:
        description: One line of text. Slurm's own is the name.
        type: str
      organization:
        description: One line of text. Slurm's own is the parent's name.
        type: str
      fairshare:
        description: Its part of the parent's share beside its siblings', or V(parent).
        type: raw
      priority:
        description: Added to the priority of its jobs; V(-1) for none.
        type: int
      qos:
        description: The QOS that its jobs may name. An empty list means what the parent has.
        type: list
        elements: str
      default_qos:
        description: The QOS of jobs that name none; V(-1) for what the parent has.
        type: str
      limits:
        description:
          - "Numbers: V(grp_jobs), V(grp_jobs_accrue), V(grp_submit_jobs), V(max_jobs), V(max_jobs_accrue),
            V(max_submit_jobs)."
          - "Minutes, or a quoted time: V(grp_wall), V(max_wall)."
          - "Mappings of TRES to amounts: V(grp_tres), V(grp_tres_mins), V(grp_tres_run_mins), V(max_tres_per_job),
            V(max_tres_per_node), V(max_tres_mins_per_job)."
          - Those of C(grp) hold for all below the account together, the others for each user.
        type: dict
        default: {}
  users:
    description:
      - Users and the accounts they may use.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The login name.
        type: str
        required: true
      state:
        description: Whether the user shall be there.
        type: str
        choices: [present, absent]
        default: present
      default_account:
        description: The account of jobs that name none. For a new user the first of O(users[].accounts) unless given.
        type: str
      admin_level:
        description: V(none), V(operator) or V(administrator).
        type: str
      accounts:
        description:
          - Names of accounts, or entries with V(name), V(state), V(partition) (only for jobs of that partition), and
            V(fairshare), V(priority), V(qos), V(default_qos) and V(limits) as of an account.
          - A user needs at least one.
        type: list
        elements: raw
        default: []
  purge:
    description:
      - Removes QOS, accounts and users that are not declared, and puts values that are not declared back to Slurm's
        defaults, descriptions and organizations excepted.
      - The account and the user V(root) and the QOS V(normal) always stay, with their values.
      - Where other clusters share the database, QOS stay, and accounts and users lose only their place on this cluster.
    type: bool
    default: false
seealso:
  - name: Slurm's accounting
    description: What limits and shares mean.
    link: https://slurm.schedmd.com/resource_limits.html
"""

EXAMPLES = r"""
- name: Share the cluster between two groups, 3 to 1
  llmops.cluster.slurm_accounting:
    cluster: llmops
    qos:
      - name: batch
        description: work that may wait
        limits: {max_wall: "1-00:00:00"}
      - name: serving
        priority: 1000
        preempt: [batch]
    accounts:
      - name: research
        fairshare: 75
        qos: [normal, batch]
      - name: chemistry
        parent: research
        limits:
          grp_tres: {gres/gpu: 1}
          max_jobs: 10
      - name: services
        fairshare: 25
        qos: [normal, serving]
        default_qos: serving
    users:
      - name: alice
        accounts: [research]
      - name: bob
        default_account: chemistry
        accounts:
          - chemistry
          - name: research
            limits: {max_submit_jobs: 2}

- name: Lift one limit and take one user away
  llmops.cluster.slurm_accounting:
    cluster: llmops
    accounts:
      - name: chemistry
        limits: {max_jobs: unlimited}
    users:
      - name: alice
        state: absent

- name: Show what else an administrator has made
  llmops.cluster.slurm_accounting:
    cluster: llmops
    accounts:
      - name: research
      - name: chemistry
        parent: research
    users:
      - name: bob
        accounts: [chemistry]
    purge: true
  check_mode: true
  diff: true
  register: accounting

- name: List it
  ansible.builtin.debug:
    var: accounting.changes
"""

RETURN = r"""
changes:
  description:
    - The changes in their order, in words; in check mode those that would be made.
    - When the module fails, those that were made before.
  returned: when the database could be read
  type: list
  elements: str
  sample:
    - "add qos batch: MaxWallDurationPerJob=1440"
    - "add account research: Fairshare=75, QOS=batch,normal"
    - "add user alice in the account research: DefaultAccount=research"
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.connect import BINARY_DIRECTORIES
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.client import AccountingClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.converge import converge, foresee
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.declare import declare
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import AccountingError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import NEW

_STATE: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
_NAMES: dict[str, t.Any] = {"type": "list", "elements": "str"}
_LIMITS: dict[str, t.Any] = {"type": "dict", "default": {}}


def argument_spec() -> dict[str, t.Any]:
    qos = {
        "name": {"type": "str", "required": True},
        "state": _STATE,
        "description": {"type": "str"},
        "priority": {"type": "int"},
        "flags": _NAMES,
        "preempt": _NAMES,
        "preempt_mode": _NAMES,
        "preempt_exempt_time": {"type": "str"},
        "grace_time": {"type": "str"},
        "usage_factor": {"type": "float"},
        "usage_threshold": {"type": "raw"},
        "limit_factor": {"type": "raw"},
        "limits": _LIMITS,
    }
    accounts = {
        "name": {"type": "str", "required": True},
        "state": _STATE,
        "parent": {"type": "str"},
        "description": {"type": "str"},
        "organization": {"type": "str"},
        "fairshare": {"type": "raw"},
        "priority": {"type": "int"},
        "qos": _NAMES,
        "default_qos": {"type": "str"},
        "limits": _LIMITS,
    }
    users = {
        "name": {"type": "str", "required": True},
        "state": _STATE,
        "default_account": {"type": "str"},
        "admin_level": {"type": "str"},
        "accounts": {"type": "list", "elements": "raw", "default": []},
    }
    return {
        "cluster": {"type": "str", "required": True},
        "qos": {"type": "list", "elements": "dict", "default": [], "options": qos},
        "accounts": {"type": "list", "elements": "dict", "default": [], "options": accounts},
        "users": {"type": "list", "elements": "dict", "default": [], "options": users},
        "purge": {"type": "bool", "default": False},
    }


def run_module(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    declared = declare(params["qos"], params["accounts"], params["users"], purge=params["purge"])
    # A run in check mode of a host that has no Slurm yet: all of it would be made.
    required = not module.check_mode
    sacctmgr = module.get_bin_path("sacctmgr", required=required, opt_dirs=BINARY_DIRECTORIES)
    if sacctmgr is None:
        return foresee(declared, NEW)
    scontrol = module.get_bin_path("scontrol", opt_dirs=BINARY_DIRECTORIES)
    client = AccountingClient(sacctmgr, params["cluster"], os.environ, scontrol=scontrol)
    result = converge(client, declared, check_mode=module.check_mode)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run_module(module)
    except AccountingError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
