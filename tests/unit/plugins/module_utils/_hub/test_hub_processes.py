# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes, killed for real: what a cache holds afterwards and what it cost the hub."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import threading
import time
import typing as t
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    MAIN,
    OLD,
    REPO,
    Hub,
    Metered,
    Throttled,
    running_hub,
    spawn,
    write_repo,
)

RANDOM = random.Random(20261121)
SHARD = "model-0000{}-of-00002.safetensors"
LARGE = {
    "config.json": b"{}\n",
    SHARD.format(1): RANDOM.randbytes(20 * 2**20),
    SHARD.format(2): RANDOM.randbytes(12 * 2**20),
    "tokenizer.json": RANDOM.randbytes(300_000),
}
SMALL = {"config.json": b"{}\n", "model.safetensors": RANDOM.randbytes(200_000), "sub/tokenizer.json": b"[]\n"}
OLD_SMALL = SMALL | {"config.json": b'{"old": 1}\n'}

# The module as Ansible runs it, on a file system whose locks do nothing. Arguments come by stdin, as with pipelining.
MODULE = """
import fcntl, json, sys
fcntl.flock = fcntl.lockf = lambda *args: None
from ansible.module_utils.testing import patch_module_args
from ansible_collections.llmops.cluster.plugins.modules import hf_model
with patch_module_args(json.load(sys.stdin)):
    hf_model.main()
"""

# One server that forks a child for each line of stdin and kills it just before its n-th change of the file system.
KILLED_AT = """
import os, signal, sys
from pathlib import Path
from ansible_collections.llmops.cluster.plugins.module_utils._hub import cache, client, download, manifest

def dies_at(step):
    left = [step]
    def wrap(function, changes=lambda *args: True):
        def wrapped(*args, **options):
            if changes(*args):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
            return function(*args, **options)
        return wrapped
    for name in ("rename", "replace", "link", "symlink", "mkdir", "unlink", "rmdir", "pwrite", "ftruncate", "utime"):
        setattr(os, name, wrap(getattr(os, name)))
    os.open = wrap(os.open, lambda path, flags, *rest: flags & (os.O_CREAT | os.O_WRONLY))
    cache.exchange = wrap(cache.exchange)

def run(words):
    revision, cache_dir, endpoint = words
    models = cache.ModelCache(Path(cache_dir), "org/tiny")
    # -name: remove it; +name: its JSON files only.
    choice = manifest.Choice(allow=("*.json",)) if revision.startswith("+") else manifest.Choice()
    request = download.Request(revision=revision.lstrip("+-"), choice=choice, max_workers=1)
    if revision.startswith("-"):
        return download.ensure_absent(models, request, lambda *_args: [])
    return download.ensure_present(models, client.HubClient(endpoint=endpoint, token=None), request)

for line in sys.stdin:
    step, *words = line.split()
    child = os.fork()
    if not child:
        try:
            dies_at(int(step))
            run(words)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(1)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def start(hub: Hub, cache_dir: Path, **options: t.Any) -> subprocess.Popen[str]:
    process = spawn(MODULE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    arguments = {"repo_id": REPO, "endpoint": hub.url, "cache_dir": str(cache_dir), "reserve_bytes": 0}
    process.stdin.write(json.dumps(arguments | options))
    process.stdin.close()
    process.stdin = None
    return process


def ended(process: subprocess.Popen[str]) -> dict[str, t.Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    found: dict[str, t.Any] = json.loads(out)
    return found


def seen(folder: Path) -> dict[str, bytes] | None:
    """What a reader finds below a snapshot; None if there is none."""
    if not folder.is_dir():
        return None
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


class Reader:
    """Looks at a snapshot again and again, and notes how many times it found nothing, all, or less than all."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self._folder = folder
        self._sizes = {name: len(content) for name, content in files.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.nothing, self.all, self.partial = 0, 0, list[dict[str, int]]()

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            found: dict[str, int] = {}
            # Asked first: what comes by one rename between two looks at its files is not less than all.
            for name in self._sizes if self._folder.is_dir() else ():
                try:
                    found[name] = os.stat(self._folder / name).st_size
                except FileNotFoundError:
                    # And gone by one rename between two looks is nothing.
                    found = {} if not self._folder.is_dir() else found
            if not found:
                self.nothing += 1
            elif found == self._sizes:
                self.all += 1
            elif self._folder.is_dir():
                self.partial.append(found)
            time.sleep(0.0005)


def test_eight_at_once_fetch_each_byte_once_without_working_locks(tmp_path: Path) -> None:
    write_repo(tmp_path / "served", REPO, MAIN, LARGE, refs=("main",))
    with running_hub(tmp_path / "served") as hub:
        results = [ended(process) for process in [start(hub, tmp_path / "cache") for _turn in range(8)]]
        assert sum(result["changed"] for result in results) == 1
        assert sum(result["bytes_downloaded"] for result in results) == hub.bytes_of_files()
        assert hub.bytes_of_files() == sum(map(len, LARGE.values()))
    assert seen(Path(results[0]["path"])) == LARGE


def on_disk(cache: ModelCache) -> int:
    found = 0
    for folder in (cache.fetching, cache.verified, cache.blobs):
        for path in folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
    return found


def wait_until(condition: t.Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.001)


def test_killed_24_times_it_fetches_no_byte_twice_and_shows_none(tmp_path: Path) -> None:
    """The hub says how many bytes there are before each kill, so what is missing on disk the process had kept back."""
    write_repo(tmp_path / "served", REPO, MAIN, LARGE, refs=("main",))
    size = sum(map(len, LARGE.values()))
    cache = ModelCache(tmp_path / "cache", REPO)
    kills = sorted(RANDOM.sample(range(1, size), 24))
    with running_hub(tmp_path / "served", Metered) as hub, Reader(cache.snapshot(MAIN), LARGE) as reader:
        for kill in kills:
            process = start(hub, tmp_path / "cache")
            Metered.limit = kill
            wait_until(lambda: on_disk(cache) == Metered.sent == Metered.limit, process)
            process.kill()
            process.communicate()
            assert not reader.all
        Metered.limit = 2 * size
        result = ended(start(hub, tmp_path / "cache"))
        fetched = hub.bytes_of_files()
        while not reader.all:
            time.sleep(0.001)
    assert seen(Path(result["path"])) == LARGE
    assert (reader.partial, reader.nothing > 100) == ([], True)
    assert fetched == size


def test_killed_while_bytes_are_under_way_each_kill_costs_little(tmp_path: Path) -> None:
    write_repo(tmp_path / "served", REPO, MAIN, LARGE, refs=("main",))
    size = sum(map(len, LARGE.values()))
    cache = ModelCache(tmp_path / "cache", REPO)
    lost = [0]
    with running_hub(tmp_path / "served", Throttled) as hub:
        for _kill in range(8):
            process = start(hub, tmp_path / "cache")
            goal = Throttled.sent + RANDOM.randrange(size // 10)
            wait_until(lambda goal=goal: Throttled.sent > goal, process)  # type: ignore[misc]
            process.kill()
            process.communicate()
            lost.append(hub.bytes_of_files() - on_disk(cache))
        result = ended(start(hub, tmp_path / "cache"))
        assert hub.bytes_of_files() == size + lost[-1]
    assert seen(Path(result["path"])) == LARGE
    # Nothing but what the sockets held, which was more the busier this machine was.
    assert max(after - before for before, after in pairwise(lost)) < 0.05 * size


class Killer:
    """Runs that die before their n-th change of the file system."""

    def __init__(self, hub: Hub, cache_dir: Path) -> None:
        self._hub, self._cache_dir = hub, cache_dir
        self._process = spawn(KILLED_AT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Killer:
        return self

    def __exit__(self, *_args: object) -> None:
        self._process.communicate()

    def run(self, revision: str, step: int = 10**6) -> bool:
        """Whether it was killed; a run that ends otherwise must end well."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{step} {revision} {self._cache_dir} {self._hub.url}\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in (0, 9)
        return status == 9


@pytest.fixture
def killer(tmp_path: Path) -> t.Iterator[Killer]:
    write_repo(tmp_path / "served", REPO, MAIN, SMALL, refs=("main",))
    write_repo(tmp_path / "served", REPO, OLD, OLD_SMALL, refs=("v1",))
    with running_hub(tmp_path / "served") as hub, Killer(hub, tmp_path / "cache") as killer:
        yield killer


@pytest.mark.parametrize("before", [None, "v1"], ids=["empty-cache", "another-revision-there"])
def test_killed_before_any_step_of_a_download_it_is_mended_by_the_next(
    killer: Killer, tmp_path: Path, before: str | None
) -> None:
    cache = ModelCache(tmp_path / "cache", REPO)
    step = 0
    while True:
        if before:
            killer.run(before)
        killed = killer.run("main", step)
        assert seen(cache.snapshot(MAIN)) in (None, SMALL)
        assert seen(cache.snapshot(OLD)) == (OLD_SMALL if before else None)
        assert killer.run("main") is False
        assert seen(cache.snapshot(MAIN)) == SMALL
        assert cache.ref("main") == MAIN
        assert os.listdir(cache.work) == ["manifests"]
        killer.run("-main")
        if not killed:
            break
        step += 1
    assert step > 25


def test_killed_before_any_step_while_a_choice_grows_readers_see_the_old_or_the_new(
    killer: Killer, tmp_path: Path
) -> None:
    cache = ModelCache(tmp_path / "cache", REPO)
    narrow = {name: content for name, content in SMALL.items() if name.endswith(".json")}
    step = 0
    killed = True
    while killed:
        killer.run("+main")
        killed = killer.run("main", step)
        assert seen(cache.snapshot(MAIN)) in (narrow, SMALL)
        assert killer.run("main") is False
        assert seen(cache.snapshot(MAIN)) == SMALL
        killer.run("-main")
        step += 1
    assert step > 20


def test_killed_before_any_step_of_a_removal_it_is_finished_by_the_next(killer: Killer, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", REPO)
    step = 0
    killed = True
    while killed:
        killer.run("v1")
        killer.run("main")
        killed = killer.run("-main", step)
        assert seen(cache.snapshot(MAIN)) in (None, SMALL)
        assert seen(cache.snapshot(OLD)) == OLD_SMALL
        killer.run("-main")
        assert (cache.knows(MAIN), cache.unused_blobs()) == (False, [])
        assert seen(cache.snapshot(OLD)) == OLD_SMALL
        step += 1
    assert step > 10


def test_killed_before_any_step_of_the_last_removal_nothing_is_left_by_the_next(killer: Killer, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", REPO)
    step = 0
    killed = True
    while killed:
        killer.run("main")
        killed = killer.run("-main", step)
        assert seen(cache.snapshot(MAIN)) in (None, SMALL)
        killer.run("-main")
        assert not cache.folder.exists()
        step += 1
    assert step > 10


def test_the_token_is_in_no_command_line_environment_or_file(tmp_path: Path) -> None:
    token = "hf_tokenCanary1234567890"
    (tmp_path / "token").write_text(token)
    write_repo(tmp_path / "served", REPO, MAIN, LARGE, refs=("main",))
    with running_hub(tmp_path / "served", Throttled, gated={REPO: token}) as hub:
        process = start(hub, tmp_path / "cache", token_file=str(tmp_path / "token"))
        looks, sent = 0, Throttled.sent
        while process.poll() is None:
            for place in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        assert token.encode() not in (place / name).read_bytes()
                    except (OSError, ProcessLookupError):
                        continue
            looks += Throttled.sent > sent
        result = ended(process)
    assert looks > 2
    assert token not in json.dumps(result)
    held = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert held == []
