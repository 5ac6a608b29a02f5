# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm-manager: from the command line to an exit code."""

from __future__ import annotations

import io
import os
import sys
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager import completion
from ansible_collections.llmops.cluster.plugins.module_utils._manager.cli import build_parser, parse
from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands import command
from ansible_collections.llmops.cluster.plugins.module_utils._manager.context import Context
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import (
    FAILED,
    INTERRUPTED,
    NO_SLURM,
    OK,
    USAGE,
    ManagerError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.host import Host, caller
from ansible_collections.llmops.cluster.plugins.module_utils._manager.screen import Screen
from ansible_collections.llmops.cluster.plugins.module_utils._manager.settings import read_settings
from ansible_collections.llmops.cluster.plugins.module_utils._manager.who import access
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import for_people
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import CommandError, SlurmError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no such letter shows another one; nothing ends over it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    screen = Screen(as_json="--json" in words)
    try:
        return _run(words, screen)
    except ManagerError as error:
        return _failed(screen, error)
    except CommandError as error:
        return _failed(screen, ManagerError(for_people(error.message), NO_SLURM))
    except (SlurmError, HealthError) as error:
        return _failed(screen, ManagerError(for_people(error.message), FAILED))
    except KeyboardInterrupt:
        return _interrupted(screen, words)
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is left in the buffers goes nowhere, and quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK.code


def _run(words: list[str], screen: Screen) -> int:
    args = parse(words)
    if args.command is None:
        build_parser().print_help()
        return USAGE.code
    if args.command == "completion":
        sys.stdout.write(completion.script(build_parser(), args.shell))
        return OK.code
    settings = read_settings()
    own = bool(getattr(args, "base_url", None) or os.environ.get("OPENAI_BASE_URL"))
    found = access(args.command, caller(), settings, words, own_address=own)
    if found.become:
        _become(found.become)
    context = Context(Host(settings, full=found.full), screen, args)
    try:
        return command(args.command)(context).code
    finally:
        screen.clear()


def _become(argv: tuple[str, ...]) -> t.NoReturn:
    sys.stdout.flush()
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        raise ManagerError(f"Running {argv[0]} failed: {error.strerror}.", FAILED) from error


def _failed(screen: Screen, error: ManagerError) -> int:
    screen.result(error.as_json())
    screen.note(screen.paint_err(error.message, "red"))
    return error.exit.code


def _interrupted(screen: Screen, words: list[str]) -> int:
    screen.clear()
    if words[:1] in (["serve"], ["restart"], ["batch"]):
        screen.note("Stopped waiting. The job goes on: vllm-manager status")
    return INTERRUPTED.code
