# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring and verify the files of a commit, several at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.claim import Claim
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import ModelFile
from ansible_collections.llmops.cluster.plugins.module_utils._hub.transfer import Client, Transfer


class _StoppedError(Exception):
    """Another file failed, so this one is left as far as it came; the next run goes on there."""


class Fetch:
    """One run's downloads into a cache. The first failure stops all of them."""

    def __init__(
        self, cache: ModelCache, client: Client, commit: str, mine: Claim, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._cache = cache
        self._mine = mine
        self._sleep = sleep
        self._stop = threading.Event()
        self._transfer = Transfer(client, cache.repo_id, commit, pause=self._pause, going=self._going)

    def all(self, files: Sequence[ModelFile], workers: int) -> int:
        """How many bytes came."""
        with ThreadPoolExecutor(max_workers=workers) as pool:
            # The largest first, so that the last thread is not left alone with it.
            jobs = [pool.submit(self._one_or_stop, file) for file in sorted(files, key=lambda file: -file.size)]
            try:
                wait(jobs)
            finally:
                self._stop.set()
        errors = [error for job in jobs if (error := job.exception())]
        for error in errors:
            if not isinstance(error, _StoppedError):
                raise error
        return sum(job.result() for job in jobs)

    def _one_or_stop(self, file: ModelFile) -> int:
        try:
            return self._one(file)
        except BaseException:
            self._stop.set()
            raise

    def _one(self, file: ModelFile) -> int:
        self._going()
        self._mine.check()
        part = self._cache.part(file)
        left = self._cache.to_come([file])
        received = self._transfer.fetch(file, part)
        try:
            self._cache.accept(file)
        except HubError:
            if left == file.size:
                raise
            # The part that an earlier run left was bad, as after a power cut: once more from the start.
            received += self._transfer.fetch(file, part)
            self._cache.accept(file)
        return received

    def _going(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _pause(self, seconds: float) -> None:
        # Not slept through when another file fails meanwhile.
        self._stop.wait(seconds) if self._sleep is time.sleep else self._sleep(seconds)
        self._going()
