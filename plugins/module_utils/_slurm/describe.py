# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between a live job and the wanted one, for people. Pure.

Whether they differ is the key's business. What a live job was made of is read from its submit line and its script;
both are for showing only, because Slurm joins a submit line with plain spaces.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._diff import DifferenceTracker
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec

_OWN = r"--(?:parsable|test-only|job-name|comment|chdir|export)(?:=|$)"


def wanted_parts(spec: JobSpec) -> dict[str, str]:
    return {
        "chdir": spec.chdir,
        "options": "\n".join(spec.options),
        "args": " ".join(spec.args),
        "script": spec.script,
    }


def live_parts(chdir: str, submit_line: str, script: str | None) -> dict[str, str]:
    """The same parts of a live job, those that Slurm shows: a submit line and a script are not there for everybody."""
    parts = {name: value for name, value in (("chdir", chdir), ("script", script)) if value}
    command, *items = re.split(r"\s+(?=--[a-z])", submit_line)
    if not items or "sbatch" not in command:
        return parts
    parts["args"] = ""
    for index, item in enumerate(items):
        # The script's path ends the options; what follows may look like options and is not.
        value, _space, rest = item.partition(" /")
        if rest:
            items = [*items[:index], value]
            parts["args"] = " ".join([*rest.split(" ")[1:], *_after(submit_line, item)])
            break
    parts["options"] = "\n".join(item for item in items if not re.match(_OWN, item))
    return parts


def _after(line: str, item: str) -> list[str]:
    rest = line.partition(item)[2].strip()
    return [rest] if rest else []


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> DifferenceTracker:
    tracker = DifferenceTracker()
    for name in [*before, *[name for name in after if name not in before]]:
        tracker.add(name, before.get(name, ""), after.get(name, ""))
    return tracker


def compare_live(live: Mapping[str, str], wanted: Mapping[str, str]) -> DifferenceTracker:
    """The difference to a job that is known to differ: only what can be seen of it, or that it cannot be seen."""
    tracker = compare(live, {name: wanted[name] for name in live})
    if tracker.empty:
        hidden = [*[name for name in wanted if name not in live], "environment"]
        tracker.add(
            " or ".join(hidden), "as the job was submitted", "as wanted now (Slurm does not show the difference)"
        )
    return tracker


def as_diff(tracker: DifferenceTracker, before: str, after: str, secrets: Iterable[str] = ()) -> dict[str, str]:
    """The `diff` of a module's result; `before` and `after` are the headers."""
    secrets = list(secrets)
    values = tracker.before_after()
    return {
        "before_header": before,
        "after_header": after,
        "before": mask(_text(values["before"]), secrets),
        "after": mask(_text(values["after"]), secrets),
    }


def _text(parts: Mapping[str, str]) -> str:
    lines: list[str] = []
    for name, value in parts.items():
        if value:
            lines.append(f"{name}:")
            lines.extend(f"  {line}".rstrip() for line in value.splitlines())
    return "\n".join([*lines, ""]) if lines else ""
