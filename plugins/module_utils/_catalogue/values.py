# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One value against one row of the schema. Private to this collection."""

from __future__ import annotations

import difflib
import math
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.flags import env_problem, flag_problem
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.found import BadValueError, show
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.key import Key
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.readers import SPECIAL
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import TIME_PATTERN

_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


def nearest(name: t.Any, known: t.Iterable[str]) -> str:
    """A hint at the known key that was probably meant, or nothing."""
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


def _refuse(key: Key, value: t.Any, hint: str = "") -> t.NoReturn:
    if isinstance(value, str) and "\n" in value:
        hint += " A line break is in it: write it on one line, without YAML's | and >."
    raise BadValueError(f"{show(value)} found; allowed is {key.allows()}.{hint}")


def _number(key: Key, value: t.Any) -> t.Any:
    whole = key.type == "int"
    # Text that is a number is what a template of ansible-core 2.18 leaves behind.
    if isinstance(value, str) and re.fullmatch(r"-?(?:0|[1-9][0-9]*)" if whole else r"-?[0-9]+(?:\.[0-9]+)?", value):
        value = int(value) if whole else float(value)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        _refuse(key, value)
    low, high = key.minimum, key.maximum
    # YAML's .nan is below nothing and above nothing.
    odd = isinstance(value, float) and not math.isfinite(value)
    if odd or (low is not None and value < low) or (high is not None and value > high):
        _refuse(key, value)
    return int(value) if whole else float(value)


def _bool(key: Key, value: t.Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    return _refuse(key, value)


def _text(key: Key, value: t.Any) -> str:
    if not isinstance(value, str):
        hint = ""
        if key.pattern == TIME_PATTERN and isinstance(value, int) and not isinstance(value, bool):
            hint = " YAML reads 12:00:00 without quotes as a number in base 60: quote it."
        _refuse(key, value, hint)
    text = " ".join(value.split()) if key.name in ("description", "use_case") else str(value)
    if key.choices and text not in key.choices:
        _refuse(key, value)
    if key.pattern and (not re.fullmatch(key.pattern, text) or ".." in text):
        _refuse(key, value)
    return text


def _word_fault(key: Key, index: int, word: t.Any) -> str | None:
    if not isinstance(word, str) or "\0" in word:
        return f"{show(word)} found; allowed is a text (quote numbers) without NUL bytes"
    if key.pattern:
        return None if re.fullmatch(key.pattern, word) else f"{show(word)} found; allowed is {key.allows()}"
    of_entry = key.name == "extra_args"
    if index == 0 and not word.startswith("-"):
        return flag_problem(word, of_entry) or f"{show(word)} found; allowed is an option, which begins with '-'"
    return flag_problem(word, of_entry)


def _words(key: Key, value: t.Any) -> list[str]:
    if isinstance(value, str) and key.pattern:
        value = [value]
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadValueError(f"{show(value)} found; allowed is a list of texts, one word each.")
    found = [(index, _word_fault(key, index, word)) for index, word in enumerate(value)]
    faults = [f"element {index}: {fault}." for index, fault in found if fault]
    if faults:
        raise BadValueError(*faults)
    return [str(word) for word in value]


def _variable_fault(name: t.Any, content: t.Any) -> str | None:
    problem = env_problem(name, content)
    if problem:
        return problem
    if isinstance(content, bool) or not isinstance(content, (str, int, float)) or "\0" in str(content):
        return f"{name}: {show(content)} found; allowed is a text or a number (quote 'true' and 'false')"
    return None


def _environment(key: Key, value: t.Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise BadValueError(f"{show(value)} found; allowed is a dictionary of variables and their texts.")
    faults = [f"{fault}." for fault in (_variable_fault(name, content) for name, content in value.items()) if fault]
    if faults:
        raise BadValueError(*faults)
    return {str(name): str(content) for name, content in value.items()}


_READERS: t.Final[Mapping[str, t.Callable[[Key, t.Any], t.Any]]] = {
    "int": _number,
    "float": _number,
    "bool": _bool,
    "str": _text,
    "list": _words,
    "dict": _environment,
}


def read_value(key: Key, value: t.Any) -> t.Any:
    """The value as the rest of the code uses it; raises BadValueError."""
    if key.reader:
        return SPECIAL[key.reader](key, value)
    return _READERS[key.type](key, value)


def empty_value(key: Key) -> t.Any:
    """The default of a row, as a value of its own."""
    if key.type == "list":
        return list(key.default or ())
    return dict(key.default or ()) if key.type == "dict" else key.default
