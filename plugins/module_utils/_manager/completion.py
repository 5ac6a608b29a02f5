# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion for shells, made from the parser itself. Pure."""

from __future__ import annotations

import argparse
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import USAGE, ManagerError

SHELLS = ("bash", "zsh")
# What comes after a command's name, by command.
_MODELS = ("chat", "list", "plan", "restart", "serve", "status", "stop", "test")
_TARGETS = ("doctor", "logs")

_BASH = """# Completion of vllm-manager for bash: source <(vllm-manager completion bash)
_vllm_manager() {
    local word=${COMP_WORDS[COMP_CWORD]} command='' index
    for ((index = 1; index < COMP_CWORD; index++)); do
        [[ ${COMP_WORDS[index]} == -* ]] || { command=${COMP_WORDS[index]}; break; }
    done
    local words=''
    case $command in
        '') words='@COMMANDS@ @GLOBAL@' ;;
@CASES@
    esac
    if [[ $word != -* ]]; then
        case $command in
            @MODELS@) words=$(vllm-manager names models 2>/dev/null) ;;
            @TARGETS@) words=$(vllm-manager names targets 2>/dev/null) ;;
            batch)
                if ((COMP_CWORD == index + 1)); then
                    words=$(vllm-manager names models 2>/dev/null)
                else
                    compopt -o default
                    return
                fi
                ;;
            cancel) words=$(vllm-manager names jobs 2>/dev/null) ;;
            completion) words='@SHELLS@' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _vllm_manager vllm-manager vllm-manager.sh
"""
_ZSH = """# Completion of vllm-manager for zsh: source <(vllm-manager completion zsh)
autoload -U +X bashcompinit && bashcompinit
"""


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(
        option
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
        if option.startswith("--")
    )


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands that are shown to people."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            shown = {one.dest for one in action._choices_actions}
            return {name: found for name, found in action.choices.items() if name in shown}
    return {}


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    if shell not in SHELLS:
        raise ManagerError(f"Completion for {shell!r} is not there; there is {' and '.join(SHELLS)}.", USAGE)
    commands = commands_of(parser)
    cases = "\n".join(
        f"        {name}) words='{' '.join(options_of(one))}' ;;" for name, one in sorted(commands.items())
    )
    values: dict[str, t.Any] = {
        "COMMANDS": " ".join(sorted(commands)),
        "GLOBAL": " ".join(options_of(parser)),
        "CASES": cases,
        "MODELS": "|".join(_MODELS),
        "TARGETS": "|".join(_TARGETS),
        "SHELLS": " ".join(SHELLS),
    }
    text = _BASH
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return _ZSH + text if shell == "zsh" else text
