# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role wrote for this program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import ElasticError

FILE = Path("/etc/llmops/elastic.json")


@dataclass(frozen=True)
class Settings:
    """All of it; times in seconds."""

    cluster: str
    driver: str
    # Elastic nodes by name, with what the driver shall know of each.
    nodes: dict[str, dict[str, Any]]
    driver_settings: dict[str, Any]
    slurm_bin: str
    state_folder: str
    # Numeric ids of Slurm's user.
    uid: int
    gid: int
    driver_timeout: float
    driver_tries: int
    driver_backoff: float
    failures: int
    retry_pause: float
    capacity_pause: float
    start_grace: float


# Ansible writes some numbers as text.
_NUMBERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("uid", "gid", "driver_tries", "failures"), int),
    **dict.fromkeys(("driver_timeout", "driver_backoff", "retry_pause", "capacity_pause", "start_grace"), float),
}


def load(path: Path = FILE) -> Settings:
    """Read and check it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name for one in fields(Settings)}
        wrong = sorted(known ^ set(found))
    except (OSError, ValueError, TypeError) as error:
        raise ElasticError(f"reading {path} failed: {error}. Run site.yml, whose role elastic writes it.") from error
    if wrong:
        raise ElasticError(f"reading {path} failed: keys missing or unknown: {', '.join(wrong)}. Run site.yml.")
    try:
        return Settings(**{key: _NUMBERS[key](value) if key in _NUMBERS else value for key, value in found.items()})
    except (TypeError, ValueError) as error:
        raise ElasticError(f"reading {path} failed: {error}. Run site.yml.") from error
