# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service: reads its settings and runs until it is stopped."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from .daemon import Daemon, log, run
from .metadata import Metadata
from .slurm import Slurm

SETTINGS = Path("/etc/llmops/spot_notice.json")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        found = json.loads(SETTINGS.read_text(encoding="utf-8"))
        daemon = Daemon(Metadata(found["metadata_url"]), Slurm(found["slurm_bin"], found["node"]), found["warning"])
        interval = float(found["interval"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("reading %s failed: %r. The role spot_notice writes it.", SETTINGS, error)
        return 1
    log.info("looking every %g s for a notice of EC2, as node %s", interval, found["node"])
    run(daemon, interval)
    return 0


if __name__ == "__main__":
    sys.exit(main())
