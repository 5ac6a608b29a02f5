# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between a hub and a model cache, each with a name, a cause and a way out."""

from __future__ import annotations

import typing as t

Kind = t.Literal[
    "auth",
    "licence",
    "repository",
    "revision",
    "files",
    "disk",
    "rate_limit",
    "server",
    "connection",
    "integrity",
    "lock",
    "in_use",
]


class HubError(Exception):
    """The one exception of this package: "<what we tried> on <which thing> failed: <cause>. <what to do>".

    `transient` says that the same request may well be answered otherwise a moment later.
    """

    def __init__(self, *, kind: Kind, message: str, transient: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.transient = transient
        self.retry_after = retry_after
