# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""local-nvme look|up|ready: one line of JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .decide import DiskError
from .disks import Disks
from .slurm import Slurm, SlurmError
from .store import Store, log

SETTINGS = Path("/etc/llmops/local_nvme.json")


def act(command: str, store: Store) -> dict[str, Any]:
    if command == "look":
        plan = store.look()
        return {"action": plan.action, "devices": list(plan.devices)}
    if command == "up":
        return {"action": store.up()}
    return {"changed": store.ready()}


def main(arguments: Sequence[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(arguments) != 1 or arguments[0] not in ("look", "up", "ready"):
        log.error("usage: local-nvme look|up|ready")
        return 2
    try:
        found = json.loads(SETTINGS.read_text(encoding="utf-8"))
        store = Store(
            Disks(found["disks"], found["folder"]),
            Slurm(found["slurm_bin"], found["node"], found["slurm_conf"]),
            Path(found["stamp"]),
            found["passing"],
            float(found["patience"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("reading %s failed: %r. The role local_nvme writes it.", SETTINGS, error)
        return 1
    try:
        answer = act(arguments[0], store)
    except (DiskError, SlurmError) as error:
        log.error("%s", error)
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
