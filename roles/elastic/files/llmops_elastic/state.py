# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered between runs: one file, changed under a lock, replaced as a whole."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .errors import ElasticError
from .model import Memory, Protection, Record, Tally

VERSION = 1
LOCK_SECONDS = 900.0


def encode(memory: Memory) -> str:
    return json.dumps({"version": VERSION, **asdict(memory)}, indent=1, sort_keys=True) + "\n"


def decode(text: str) -> Memory:
    """The memory in a file's text; raises ValueError for what is none."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']!r}, {VERSION} expected")
        return Memory(
            nodes={name: Record(**one) for name, one in found["nodes"].items()},
            tallies={name: Tally(**one) for name, one in found["tallies"].items()},
            protected={name: Protection(**one) for name, one in found["protected"].items()},
            holds={name: float(until) for name, until in found["holds"].items()},
            waiting={name: float(since) for name, since in found.get("waiting", {}).items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a memory of elastic nodes: {error!r}") from error


class Store:
    """The file, and the lock beside it that one run at a time holds."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._file = self._folder / "state.json"

    def read(self) -> Memory:
        """What is remembered; nothing when there is no file yet."""
        try:
            return decode(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Memory()
        except (OSError, ValueError) as error:
            raise ElasticError(
                f"reading {self._file} failed: {error}. Move it away: what it remembers (counts, pauses, protection) "
                "is lost, nodes and instances are found again by the next sweep."
            ) from error

    def write(self, memory: Memory) -> None:
        """Replace the file as a whole: a run that is killed leaves the old one or the new one."""
        temporary = self._file.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(encode(memory))
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(self._file)

    @contextmanager
    def locked(
        self,
        seconds: float = LOCK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[None]:
        """Hold the lock. It dies with its process; the driver does not inherit it."""
        ends = clock() + seconds
        with (self._folder / "lock").open("w", encoding="utf-8") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if clock() > ends:
                        raise ElasticError(
                            f"locking {self._folder} failed: another run has held it for {seconds:.0f} s. "
                            "Look for it: pgrep -af llmops_elastic"
                        ) from None
                    sleep(0.2)
            yield
