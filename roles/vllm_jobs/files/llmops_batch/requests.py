# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of requests: every line is checked before an engine is started."""

from __future__ import annotations

from pathlib import Path

from .errors import BatchError
from .lines import Line, read_lines

SHOWN_PROBLEMS = 10


def read_requests(path: Path) -> list[Line]:
    """All requests, by where their lines are."""
    try:
        with path.open("rb") as lines:
            found = list(read_lines(lines))
    except OSError as error:
        raise BatchError(66, f"Reading the requests in {path} failed: {error.strerror}.") from error
    problems = [f"  line {line.number}: {line.problem}" for line in found if line.problem]
    if problems:
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        shown = "\n".join(problems[:SHOWN_PROBLEMS])
        raise BatchError(65, f"{path} has lines that cannot be asked:\n{shown}{more}\nNo engine was started.")
    if not found:
        raise BatchError(65, f"{path} has no request. Each line is one, as in OpenAI's batches. No engine was started.")
    return found
