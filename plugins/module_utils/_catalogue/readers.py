# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of values that are more than their type says. Private to this collection."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine_keys import RANKS
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.found import BadValueError, show
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.key import (
    COMMIT_PATTERN,
    PATH_PATTERN,
    REPO_PATTERN,
    Key,
)

# No '/' and no '=': the engine is given name=folder.
ADAPTER_NAME: t.Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
_MODALITIES: t.Final = ("image", "video", "audio")
_ADAPTER: t.Final = {
    "model_id": (REPO_PATTERN, "'organisation/name' as on the model hub"),
    "revision": (COMMIT_PATTERN, "a commit of 40 hexadecimal digits: the engine is given the folder of one commit"),
    "path": (PATH_PATTERN, "an absolute path made of letters, digits, '.', '_', '@', '+' and '-'"),
}


def _whole(value: t.Any) -> int | None:
    """A whole number, also as the text that a template leaves behind."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _within(number: int | None, low: float | None, high: float | None) -> bool:
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def read_numbers(key: Key, value: t.Any) -> list[int]:
    """Whole numbers, each once, in order."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadValueError(f"{show(value)} found; allowed is {key.allows()}.")
    found = [_whole(element) for element in value]
    faults = [
        f"element {index}: {show(value[index])} found; allowed is a whole number from {key.minimum:g} to "
        f"{key.maximum:g}."
        for index, number in enumerate(found)
        if not _within(number, key.minimum, key.maximum)
    ]
    if faults:
        raise BadValueError(*faults)
    return sorted({number for number in found if number is not None})


def read_rank(key: Key, value: t.Any) -> int:
    """A rank that the engine's option takes."""
    rank = _whole(value)
    if rank not in RANKS:
        raise BadValueError(f"{show(value)} found; allowed is {key.allows()}.")
    return rank


def read_limits(key: Key, value: t.Any) -> dict[str, int]:
    """How many of each modality."""
    if not isinstance(value, Mapping):
        raise BadValueError(f"{show(value)} found; allowed is {key.allows()}.")
    faults = [
        f"{show(name) if name not in _MODALITIES else name}: {show(count)} found; allowed is {key.allows()}."
        for name, count in value.items()
        if name not in _MODALITIES or not _within(_whole(count), 0, 999)
    ]
    if faults:
        raise BadValueError(*faults)
    return {str(name): int(count) for name, count in value.items()}


def _adapter_faults(adapter: t.Any) -> t.Iterator[str]:
    if not isinstance(adapter, Mapping):
        yield f"{show(adapter)} found; allowed is a dictionary of model_id and revision, or of path"
        return
    for name, value in adapter.items():
        if name not in _ADAPTER:
            yield f"{show(name)} is no key of an adapter; allowed are {', '.join(_ADAPTER)}"
        elif not isinstance(value, str) or not re.fullmatch(_ADAPTER[name][0], value) or ".." in value:
            yield f"{name}: {show(value)} found; allowed is {_ADAPTER[name][1]}"
    if set(adapter) & set(_ADAPTER) not in ({"path"}, {"model_id", "revision"}):
        yield f"{', '.join(map(str, adapter)) or 'nothing'} found; allowed is model_id with revision, or path alone"


def read_adapters(key: Key, value: t.Any) -> dict[str, dict[str, str]]:
    """Adapters by their names."""
    if not isinstance(value, Mapping):
        raise BadValueError(f"{show(value)} found; allowed is {key.allows()}.")
    faults = [
        f"{show(name)} found as a name; allowed are letters, digits, '.', '_', ':' and '-', the first a letter or "
        "digit."
        for name in value
        if not isinstance(name, str) or not re.fullmatch(ADAPTER_NAME, name)
    ]
    faults += [f"{name}: {fault}." for name, adapter in value.items() for fault in _adapter_faults(adapter)]
    if faults:
        raise BadValueError(*faults)
    return {str(name): {str(key): str(text) for key, text in adapter.items()} for name, adapter in value.items()}


SPECIAL: t.Final[Mapping[str, t.Callable[[Key, t.Any], t.Any]]] = {
    "adapters": read_adapters,
    "limits": read_limits,
    "numbers": read_numbers,
    "rank": read_rank,
}
