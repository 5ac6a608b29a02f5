# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hides what must not be shown: in log tails, command lines and messages. Pure."""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK = "********"
# A shorter value would be found in ordinary words and numbers, and hide the message itself.
SHORTEST_SECRET = 6
_SECRET_NAME = r"(?i)KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL"
_TOKENS = re.compile(r"\b(?:hf_|sk-|ghp_|glpat-|AKIA)[A-Za-z0-9_-]{8,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{6,}")
# The value stops at a quote, a comma or a bracket, so that the rest of a JSON line or an argument list stays readable.
_ASSIGNED = re.compile(
    r"(?i)((?:api[_-]?key|token|secret|password|passwd)[\"']?\s*[=:]\s*)([\[\"']*)([^\s\"',;)\]}]{4,})"
)
_OPTION = re.compile(r"(?i)(--(?:[a-z]+-)*(?:api-key|token|secret|password))(\s+)(?!-)\S+")
_URL_LOGIN = re.compile(r"(://[^\s/:@]*:)[^\s/@]+(@)")


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """The values of those variables whose name says that they are secret, longest first."""
    found = {
        value for name, value in environment.items() if re.search(_SECRET_NAME, name) and len(value) >= SHORTEST_SECRET
    }
    return sorted(found, key=lambda value: (-len(value), value))


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given secrets and without anything that looks like one."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = _TOKENS.sub(MASK, text)
    text = _BEARER.sub(rf"\1\2{MASK}", text)
    text = _URL_LOGIN.sub(rf"\1{MASK}\2", text)
    text = _OPTION.sub(rf"\1\2{MASK}", text)
    return _ASSIGNED.sub(_mask_assigned, text)


def mask_argv(argv: Iterable[str], secrets: Iterable[str] = ()) -> list[str]:
    """An argument list without secrets, also where an option and its value are two elements."""
    secrets = list(secrets)
    shown: list[str] = []
    for word in argv:
        after_option = bool(shown) and _OPTION.fullmatch(f"{shown[-1]} {word}")
        shown.append(MASK if after_option else mask(word, secrets))
    return shown


def _mask_assigned(match: re.Match[str]) -> str:
    # Counts such as `prompt_tokens: 12345` are no secrets.
    if match.group(3).isdigit() or match.group(3) == MASK:
        return match.group(0)
    return f"{match.group(1)}{match.group(2)}{MASK}"
