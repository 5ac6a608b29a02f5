# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the engine cannot be started as its entry says."""

from __future__ import annotations


class LaunchError(Exception):
    """Said in the job's output; ends the engine's place with this status, of those in sysexits.h."""

    def __init__(self, message: str, status: int = 69) -> None:
        super().__init__(message)
        self.status = status
