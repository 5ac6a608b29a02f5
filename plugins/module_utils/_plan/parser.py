# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command line against the parser of the engine that is installed. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import nearest

# Negative numbers are values, as they are for argparse.
_VALUE = re.compile(r"-[0-9.]+")
# -O2 and the like: an optimisation level in one word.
_LEVEL = re.compile(r"-O[0-9.=].*")


def _known(flag: str, options: Mapping[str, t.Any]) -> str | None:
    """The option a word names: as it is, or with a path into a JSON value behind a point."""
    if flag in options:
        return flag
    stem = flag.split(".", 1)[0]
    return stem if "." in flag and stem in options else None


def option_problems(argv: Sequence[str], parser: t.Any) -> list[str]:
    """Options that the installed engine does not have, and values that it does not take.

    `parser` is what roles/vllm_jobs/files/engine_options.py prints. Without one nothing is checked.
    """
    if not isinstance(parser, Mapping) or not isinstance(parser.get("options"), Mapping):
        return []
    options, version = parser["options"], parser.get("version", "")
    problems = []
    for index, word in enumerate(argv):
        if not word.startswith("-") or _VALUE.fullmatch(word) or _LEVEL.fullmatch(word):
            continue
        flag, given, value = word.partition("=")
        flag = flag.replace("_", "-") if flag.startswith("--") else flag
        name = _known(flag, options)
        if name is None:
            hint = nearest(flag, options) or " Leave it out, or install the release that has it."
            problems.append(f"{flag}: vLLM {version} has no such option.{hint}")
            continue
        value = value if given else (argv[index + 1] if index + 1 < len(argv) else "")
        choices = options[name]
        if choices and "." not in flag and value not in choices:
            problems.append(f"{flag}: {value!r} found; vLLM {version} takes {', '.join(choices)}.")
    return problems
