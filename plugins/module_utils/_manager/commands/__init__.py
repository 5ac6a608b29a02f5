# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands by name. Each takes a Context and returns an exit code. Only the one that is run is imported."""

from __future__ import annotations

import importlib
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
    from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import Exit

# Command: module and function.
_PLACES: t.Final = {
    "list": ("look", "list_models"),
    "status": ("look", "status"),
    "names": ("look", "names"),
    "plan": ("planning", "plan"),
    "serve": ("run", "serve"),
    "restart": ("run", "restart"),
    "batch": ("run", "batch"),
    "stop": ("run", "stop"),
    "cancel": ("run", "cancel"),
    "logs": ("read", "logs"),
    "chat": ("talk", "chat"),
    "test": ("talk", "test"),
    "doctor": ("heal", "doctor"),
}


def command(name: str) -> Callable[[Context], Exit]:
    module, function = _PLACES[name]
    found: Callable[[Context], Exit] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found
