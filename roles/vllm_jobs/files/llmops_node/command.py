# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this node's processes are told: words in braces filled in, and the node's environment. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from llmops_node.address import Place
from llmops_node.errors import NodeError

_BRACES = re.compile(r"\{([a-z_]+)\}")


def fill(words: Sequence[str], facts: Mapping[str, t.Any]) -> list[str]:
    """The words with {name} replaced by what is known of the node. Only for words that this collection has written."""

    def fact(match: re.Match[str]) -> str:
        if match[1] not in facts:
            raise NodeError(f"Filling in {match[0]} failed: known are {', '.join(sorted(facts))}.", status=70)
        return str(facts[match[1]])

    return [_BRACES.sub(fact, word) for word in words]


def environment(given: Mapping[str, str], place: Place, added: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment on this node: one address for all that ask, and names of interfaces unless told."""
    named = {
        # With = it is this interface alone, not every one whose name begins so.
        "NCCL_SOCKET_IFNAME": f"={place.interface}",
        "GLOO_SOCKET_IFNAME": place.interface,
    }
    return {**named, **given, **added, "VLLM_HOST_IP": place.address}


def split(words: Sequence[str], marks: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Words before the first mark, and those behind each. The last mark ends the search: what follows is free."""
    parts: dict[str, list[str]] = {}
    before: list[str] = []
    here = before
    for index, word in enumerate(words):
        if word == marks[-1]:
            parts[word] = list(words[index + 1 :])
            break
        if word in marks:
            here = parts.setdefault(word, [])
        else:
            here.append(word)
    return before, {mark: parts.get(mark, []) for mark in marks}
