# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform of vLLM for tests alone: its CPU platform, with what Ray and copies of mixtures of experts ask of one.

As shipped the CPU engine refuses both. It shows that jobs start, serve and end; it proves nothing about NCCL or GPUs.
"""

# mypy: disable-error-code="import-not-found,misc"
# vLLM comes with the hosts it runs on.

from __future__ import annotations

import typing as t

from vllm.platforms.cpu import CpuPlatform


class CpuTestPlatform(CpuPlatform):
    """Ray is told of GPUs that are not there, and does not look."""

    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "llmops_cpu_test_communicator.Communicator"


def register() -> t.Any:
    return "llmops_cpu_test.CpuTestPlatform"
