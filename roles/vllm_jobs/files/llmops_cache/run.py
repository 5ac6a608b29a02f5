# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the engine starts: say what it will find, and bring it. When it is ready: say what it made, and keep it."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
import typing as t
from pathlib import Path

from . import store

POLL_SECONDS = 1.0
REQUEST_SECONDS = 5.0
# The shared file is written anew when one file of so many is new.
NEW_SHARE = 10


def say(text: str) -> None:
    """One line of the job's log."""
    sys.stdout.write(f"compile cache: {text}\n")
    sys.stdout.flush()


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def take(root: Path, seed: Path | None) -> str:
    """What the engine will find, in words; brought from the shared file where this node has nothing."""
    here = store.files(root)
    if here:
        return f"hit ({_files(len(here))}, from this node)"
    if seed is None:
        return "cold"
    try:
        return f"hit ({_files(store.unpack(seed, root))}, seeded)"
    except FileNotFoundError:
        return "cold"
    except (OSError, EOFError, store.tarfile.TarError, store.UntrustedError) as error:
        return f"cold (what other nodes compiled could not be taken: {error})"


def keep(root: Path, before: set[str], seed: Path | None) -> str:
    """What the start made, in words; put into the shared file where that lacks it."""
    now = store.files(root)
    made = now - before
    words = f"ready with {_files(len(now))}, {len(made)} of them made by this start"
    # Some engines write a file or two at each start, whatever is there: these would pile up.
    much = len(made) * NEW_SHARE >= len(now)
    if seed is None or not now or (seed.exists() and not (made and much)):
        return words
    try:
        store.pack(root, now, seed)
    except (OSError, store.tarfile.TarError) as error:
        return f"{words}; they could not be kept for other nodes: {error}"
    return f"{words}; kept for other nodes"


def answers(record: Path, address: str) -> bool:
    """Whether the engine of this job is well, at the port that the job has recorded."""
    try:
        port = int(json.loads(record.read_text())["port"])
        connection = http.client.HTTPConnection(address, port, timeout=REQUEST_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        finally:
            connection.close()
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return False


def wait(
    ready: t.Callable[[], bool], alive: t.Callable[[], bool], sleep: t.Callable[[float], None] = time.sleep
) -> bool:
    """Whether the engine became ready; false when the job has ended before."""
    while alive():
        if ready():
            return True
        sleep(POLL_SECONDS)
    return False


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llmops_cache", description="Keeps what engines compile.")
    parser.add_argument("action", choices=("take", "keep"))
    parser.add_argument("cache", type=Path, help="the model's cache on this node")
    parser.add_argument("--seed", type=Path, help="file that hands the cache to other nodes")
    parser.add_argument("--record", type=Path, help="with keep: the endpoint record of the job")
    parser.add_argument("--parent", type=int, help="with keep: the job script, which may end before this begins")
    parser.add_argument("--address", default="127.0.0.1", help="with keep: where the engine listens")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    args = parse(words)
    try:
        if args.action == "take":
            say(take(args.cache, args.seed))
            return 0
        before = store.files(args.cache)
        if wait(lambda: answers(args.record, args.address), lambda: os.getppid() == args.parent):
            say(keep(args.cache, before, args.seed))
    except OSError as error:
        say(f"unknown ({error})")
    return 0
