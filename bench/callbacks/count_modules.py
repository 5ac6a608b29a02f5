# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's callback that counts what a run does on each host: tasks that ran a module there, and calls of modules.

A task that loops counts once for each item. Calls are more than tasks: template and copy look at the file first.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: count_modules
type: notification
short_description: Count the tasks and modules of each host
description: Writes them as JSON into the file that BENCH_MODULES names.
"""

# They run on the control machine and reach no host.
CONTROL = frozenset(
    (
        *("add_host", "assert", "debug", "fail", "group_by", "include_role", "include_tasks", "import_role"),
        *("import_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats", "validate_argument_spec"),
    )
)


class CallbackModule(CallbackBase):
    """One for each run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "count_modules"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._target = Path(os.environ["BENCH_MODULES"])
        self._calls = self._target.with_suffix(".calls")
        self._calls.write_text("")
        self._tasks: dict[str, list[str]] = defaultdict(list)
        _note_calls(self._calls)

    def v2_runner_on_ok(self, result: Any, **_more: Any) -> None:
        # The items of a loop have been counted one by one.
        if "results" not in result.result or not result.task.loop:
            self._count(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._count(result)

    def _count(self, result: Any) -> None:
        if result.task.action.rsplit(".", 1)[-1] not in CONTROL:
            # With its variables filled in; none where the task is not delegated.
            delegated = result.task_fields.get("delegate_to")
            self._tasks[delegated or result.host.name].append(result.task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        calls: dict[str, list[str]] = defaultdict(list)
        for line in self._calls.read_text().splitlines():
            host, module = line.split(" ", 1)
            calls[host].append(module)
        found = {host: {"tasks": self._tasks[host], "calls": calls[host]} for host in {*self._tasks, *calls}}
        self._target.write_text(json.dumps(found, indent=2))


def _note_calls(path: Path) -> None:
    """Each call of a module from now on adds a line. The workers are forks of this process, so it holds for them."""
    execute = ActionBase._execute_module

    def noted(self: ActionBase, *args: Any, **kwargs: Any) -> Any:
        variables = kwargs.get("task_vars") or {}
        host = self._task.delegate_to or variables.get("inventory_hostname", "unknown")
        name = kwargs.get("module_name") or (args[0] if args else None) or self._task.action
        with path.open("a") as lines:
            lines.write(f"{host} {name}\n")
        return execute(self, *args, **kwargs)

    ActionBase._execute_module = noted  # type: ignore[method-assign]
