# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a folder: python .../llmops_cache take|keep CACHE [OPTIONS]."""

from __future__ import annotations

import sys
from pathlib import Path

# Run by its path: the folder above is not where Python looks.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llmops_cache.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
