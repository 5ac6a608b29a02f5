# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that say whether a host can have NVIDIA's driver, and whether the one that it has is ready for jobs."""

from __future__ import annotations

import functools
import json
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia import dcgm, host, key, smi, verify
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.errors import NvidiaError


def _filter(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """The function with its own errors as those of a filter."""

    @functools.wraps(function)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except NvidiaError as error:
            raise AnsibleFilterError(str(error)) from error

    return wrapper


def nvidia_driver_faults(look: host.Look, said: str, code: int, query: str) -> list[str]:
    """Why no job may be started, from what nvidia-smi -q and files/device_query.py printed."""
    return verify.driver_faults(look, smi.parse_smi(said, code), json.loads(query))


def nvidia_summary(said: str) -> str:
    """What is there, in a line, from nvidia-smi -q."""
    return verify.summary(smi.parse_smi(said))


def nvidia_dcgm_faults(discovery: str, look: host.Look) -> list[str]:
    """GPUs of the PCI bus that DCGM does not know of."""
    count, bus = dcgm.parse_discovery(discovery), len(host.gpus(look))
    return (
        [] if count == bus else [f"the PCI bus has {bus} GPUs, DCGM {count}: restart nvidia-dcgm, then look at dmesg"]
    )


class FilterModule:
    """Filters of the role nvidia."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        functions: dict[str, t.Callable[..., t.Any]] = {
            "nvidia_branch_faults": host.branch_faults,
            "nvidia_build_faults": host.build_faults,
            "nvidia_dcgm_diag_faults": dcgm.diag_faults,
            "nvidia_dcgm_faults": nvidia_dcgm_faults,
            "nvidia_driver_faults": nvidia_driver_faults,
            "nvidia_key_faults": key.key_faults,
            "nvidia_problems": host.problems,
            "nvidia_reboot_reasons": host.reboot_reasons,
            "nvidia_summary": nvidia_summary,
        }
        return {name: _filter(function) for name, function in functions.items()}
