# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role wrote down for the manager: whose jobs, where they are, who may run them."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, fields

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FAILED, ManagerError

PATH = "/etc/llmops/vllm-manager.json"


@dataclass(frozen=True)
class Settings:
    """`group`: whose members may operate the service through sudo; empty for none. `program`: what sudo runs."""

    user: str = "vllm"
    jobs_dir: str = "/home/vllm/vllm-jobs"
    api_key_file: str = "/etc/llmops/vllm-api-key"
    group: str = ""
    program: str = "/usr/local/bin/vllm-manager"

    @property
    def endpoints_dir(self) -> str:
        return f"{self.jobs_dir}/endpoints"

    @property
    def models_dir(self) -> str:
        return f"{self.jobs_dir}/models"


def parse_settings(text: str, path: str = PATH) -> Settings:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ManagerError(f"Reading {path} failed: it is no JSON. Run the playbook deploy_vllm again.") from error
    names = {field.name for field in fields(Settings)}
    if not isinstance(value, dict) or any(not isinstance(value.get(name, ""), str) for name in names):
        raise ManagerError(f"Reading {path} failed: it holds no settings. Run the playbook deploy_vllm again.")
    return Settings(**{name: found for name, found in value.items() if name in names})


def read_settings(path: str = PATH) -> Settings:
    """The defaults of the roles where nothing was written."""
    try:
        with open(path, encoding="utf-8") as handle:
            return parse_settings(handle.read(), path)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ManagerError(f"Reading {path} failed: {error.strerror}. It must be readable for all.", FAILED) from error


def as_json(settings: Settings) -> dict[str, t.Any]:
    return {field.name: getattr(settings, field.name) for field in fields(Settings)}
