# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that write Slurm's configuration files and host lists."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf import believed, hardware, problems, topology
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist, hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import merge, slurm_ini
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import gres_conf


def _filter(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """The function with its own errors as those of a filter."""

    @functools.wraps(function)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except SlurmConfError as error:
            raise AnsibleFilterError(str(error)) from error

    return wrapper


def slurm_problems(hostvars: t.Any, given: t.Mapping[str, t.Any]) -> list[str]:
    """All that is wrong with the variables of a cluster."""
    names = [name for word in ("compute", "controller", "database") for name in given.get(f"{word}_hosts", ())]
    return problems.problems(problems.host_variables(hostvars, names), given)


def slurm_hardware(
    hostvars: t.Any, hosts: list[str], remembered: t.Mapping[str, t.Any] | None = None
) -> dict[str, t.Any]:
    """What the role noted of each compute host, in one pass: with many hosts each look into hostvars counts."""
    return hardware.gathered(((name, hostvars[name]) for name in hosts if name in hostvars), remembered)


def nvidia_gres(text: str) -> list[str]:
    """The gres of a node, from nvidia-smi -L."""
    return hardware.gres_of(hardware.parse_gpu_list(text))


def slurm_node_differences(
    text: str, found: t.Mapping[str, t.Mapping[str, t.Any]], overridden: bool | list[str] = False
) -> list[str]:
    """Where slurmctld and its nodes do not agree."""
    has = {
        name: {**hardware.parse_slurmd(host["slurmd"]), **({"gpus": int(host["gpus"])} if "gpus" in host else {})}
        for name, host in found.items()
    }
    return believed.differences(text, has, overridden)


class FilterModule:
    """Filters that write Slurm's configuration."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        functions: dict[str, t.Callable[..., t.Any]] = {
            "expand_hostlist": expand_hostlist,
            "gres_conf": gres_conf,
            "hostlist": hostlist,
            "instance_type": problems.instance_type,
            "nvidia_gres": nvidia_gres,
            "slurm_conf": slurm_conf,
            "slurm_hardware": slurm_hardware,
            "slurm_ini": slurm_ini,
            "slurm_merge": merge,
            "slurm_node_differences": slurm_node_differences,
            "slurm_problems": slurm_problems,
            "slurm_topology": topology.topology_file,
            "slurmd_hardware": hardware.parse_slurmd,
        }
        return {name: _filter(function) for name, function in functions.items()}
