# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring one file to its full size, through cut connections and from where a killed run left it."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import Stream
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import ModelFile

T = t.TypeVar("T")

# Between tries of one request, in seconds: four tries at most.
PAUSES = (1.0, 4.0, 16.0)
# A hub that wants us to stay away for longer is obeyed by giving up.
LONGEST_PAUSE = 300.0
# A try that brought so much (or a twentieth of a smaller file) was worth its while: counting starts anew.
GOOD_TRY = 16 * 1024 * 1024
# Some stores of files refuse to give more than 50 GB at a time.
MOST_AT_A_TIME = 32 * 1024**3


class Client(t.Protocol):
    """What is needed of a hub here."""

    def open(self, repo_id: str, commit: str, file: ModelFile, first: int, last: int) -> Stream: ...


class Retries:
    """A few tries with growing pauses for what may pass; the rest fails at once."""

    def __init__(self, pause: Callable[[float], None], good_try: int = 0) -> None:
        self._pause = pause
        self._good_try = good_try
        self._failures = 0
        self._gained = 0

    def gained(self, count: int) -> None:
        self._gained += count

    def failed(self, error: HubError) -> None:
        """Wait before the next try, or raise the error if there shall be none."""
        if self._good_try and self._gained >= self._good_try:
            self._failures = 0
        if not error.transient or self._failures == len(PAUSES):
            raise error
        wait = max(PAUSES[self._failures], error.retry_after or 0.0)
        if wait > LONGEST_PAUSE:
            raise error
        self._failures += 1
        self._gained = 0
        self._pause(wait)


def with_retries(ask: Callable[[], T], pause: Callable[[float], None]) -> T:
    retries = Retries(pause)
    while True:
        try:
            return ask()
        except HubError as error:
            retries.failed(error)


class Transfer:
    """Files of one commit of one repository."""

    def __init__(
        self,
        client: Client,
        repo_id: str,
        commit: str,
        *,
        pause: Callable[[float], None],
        going: Callable[[], None] = lambda: None,
    ) -> None:
        """`going` is called for each block that was written; what it raises ends the transfer there."""
        self._client = client
        self._repo_id = repo_id
        self._commit = commit
        self._pause = pause
        self._going = going

    def fetch(self, file: ModelFile, part: Path) -> int:
        """Fill `part` up to the file's size and return how many bytes came. What lies in `part` is kept."""
        retries = Retries(self._pause, good_try=max(1, min(GOOD_TRY, file.size // 20)))
        received = 0
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            have = os.fstat(descriptor).st_size
            if have > file.size:
                os.ftruncate(descriptor, 0)
                have = 0
            furthest = have
            while have < file.size:
                start = have
                try:
                    for end, count in self._blocks(file, descriptor, start):
                        have = end
                        received += count
                        # What a hub without ranges sends once more is no gain.
                        retries.gained(max(0, have - furthest))
                        furthest = max(furthest, have)
                except HubError as error:
                    retries.failed(error)
        finally:
            os.close(descriptor)
        return received

    def _blocks(self, file: ModelFile, descriptor: int, have: int) -> t.Iterator[tuple[int, int]]:
        """Write what one request gives: where the file ends after each block, and the block's size."""
        last = min(file.size, have + MOST_AT_A_TIME) - 1
        stream = self._client.open(self._repo_id, self._commit, file, have, last)
        try:
            end = stream.first
            for block in stream.blocks(last + 1 - end):
                _write(descriptor, block, end)
                end += len(block)
                self._going()
                yield end, len(block)
        finally:
            stream.close()


def _write(descriptor: int, block: bytes, offset: int) -> None:
    """Straight to the kernel, which keeps it when this process is killed; and at its own place in the file, so that
    even two writers write the same."""
    view = memoryview(block)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view = view[count:]
        offset += count
