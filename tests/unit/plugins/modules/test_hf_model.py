# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hf_model against a hub: the real protocol, a real cache on disk, and huggingface_hub as a reader of it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
import typing as t
from importlib.util import find_spec
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import cache as hub_cache
from ansible_collections.llmops.cluster.plugins.module_utils._hub import download
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.claim import claim
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import HubClient
from ansible_collections.llmops.cluster.plugins.module_utils._hub.server import HubHandler, RefusalError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.users import Queue
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import connect
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import CommandError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.modules import hf_model
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    FILES,
    MAIN,
    OLD,
    REPO,
    WEIGHTS,
    FaultInjectingHandler,
    Hub,
    Throttled,
    cutting,
    etag_of,
    faulty,
    running_hub,
    spawn,
    write_repo,
)
from ansible_collections.llmops.cluster.tests.unit.module_runner import run_module
from huggingface_hub import scan_cache_dir, snapshot_download

WANTED = ["config.json", "model.safetensors", "notes/readme.txt"]
SIZE = sum(len(FILES[name]) for name in WANTED)
OLD_FILES = {"config.json": b"{}\n", "model.safetensors": WEIGHTS}
SECRET = "hf_secretCanary"

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "served"
    write_repo(root, REPO, MAIN, FILES, refs=("main",))
    write_repo(root, REPO, OLD, OLD_FILES, refs=("v1",))
    return root


@pytest.fixture
def hub(root: Path) -> t.Iterator[Hub]:
    with running_hub(root) as hub:
        yield hub


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def pauses() -> list[float]:
    """Seconds the module would have slept."""
    return []


@pytest.fixture
def run(
    hub: Hub, cache_dir: Path, pauses: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    present = download.ensure_present

    def patient(cache: ModelCache, client: download.Client, request: download.Request) -> download.Outcome:
        return present(cache, client, request, pauses.append)

    monkeypatch.setattr(download, "ensure_present", patient)
    monkeypatch.setattr(connect, "slurm_is_here", lambda module: False)

    def run(**options: t.Any) -> dict[str, t.Any]:
        defaults: dict[str, t.Any] = {
            "repo_id": REPO,
            "endpoint": hub.url,
            "cache_dir": str(cache_dir),
            "reserve_bytes": 0,
        }
        return run_module(hf_model.main, capsys, **(defaults | options))

    return run


def snapshot_files(path: str) -> dict[str, bytes]:
    found = [entry for entry in Path(path).rglob("*") if entry.is_file()]
    return {entry.relative_to(path).as_posix(): entry.read_bytes() for entry in found}


def test_create_twice_each_first_in_check_mode(run: Run, hub: Hub, cache_dir: Path) -> None:
    planned = run(check=True)
    assert (planned["changed"], planned["bytes_to_download"], planned["bytes_downloaded"]) == (True, SIZE, 0)
    assert not cache_dir.exists()
    assert hub.bytes_of_files() == 1

    done = run()
    assert (done["changed"], done["bytes_downloaded"], done["commit"]) == (True, SIZE, MAIN)
    assert done["diff"] == planned["diff"]
    assert (done["files"], done["total_bytes"]) == (WANTED, SIZE)
    assert snapshot_files(done["path"]) == {name: FILES[name] for name in WANTED}
    assert hub.bytes_of_files() == 1 + SIZE

    for check in (True, False):
        again = run(check=check)
        assert (again["changed"], again["bytes_to_download"], again["bytes_downloaded"]) == (False, 0, 0)
        assert again["path"] == done["path"]
        assert again["diff"] == {"before": {}, "after": {}}
    assert hub.bytes_of_files() == 1 + SIZE


def test_what_is_published_reads_as_an_ordinary_cache(run: Run, cache_dir: Path) -> None:
    done = run()
    found = snapshot_download(REPO, cache_dir=cache_dir, local_files_only=True)
    assert found == done["path"]
    scanned = scan_cache_dir(cache_dir)
    assert not scanned.warnings
    assert scanned.size_on_disk == SIZE
    folder = cache_dir / "models--org--tiny"
    assert sorted(entry.name for entry in (folder / ".llmops").iterdir()) == ["manifests"]
    assert sorted(entry.name for entry in folder.iterdir()) == [".llmops", "blobs", "refs", "snapshots"]


def test_published_cache_can_itself_be_served(run: Run, hub: Hub, cache_dir: Path, tmp_path: Path) -> None:
    run()
    asked = len(hub.requests)
    with running_hub(cache_dir, token="peer") as peer:
        done = run(endpoint=peer.url, token="peer", revision=MAIN, cache_dir=str(tmp_path / "second"))
    assert snapshot_files(done["path"]) == {name: FILES[name] for name in WANTED}
    assert len(hub.requests) == asked


def test_pinned_and_complete_needs_no_network(run: Run) -> None:
    first = run(revision=MAIN)
    again = run(revision=MAIN, endpoint="http://127.0.0.1:9")
    assert (again["changed"], again["path"]) == (False, first["path"])


def test_branch_that_moved_brings_only_what_is_new(run: Run, hub: Hub, root: Path) -> None:
    run(revision="v1")
    (root / "models--org--tiny" / "refs" / "v1").write_text(MAIN)
    moved = run(revision="v1")
    assert moved["diff"]["before"]["commit"] == OLD
    assert (moved["commit"], moved["bytes_downloaded"]) == (MAIN, SIZE - len(WEIGHTS))
    back = (root / "models--org--tiny" / "refs" / "v1").write_text(OLD)
    assert back
    moved = run(revision="v1")
    assert (moved["changed"], moved["commit"], moved["bytes_downloaded"]) == (True, OLD, 0)


def test_wider_patterns_add_to_the_snapshot(run: Run) -> None:
    run(allow_patterns=["*.json"])
    more = run(allow_patterns=["*.json", "*.bin"])
    assert (more["changed"], more["bytes_downloaded"]) == (True, len(FILES["pytorch_model.bin"]))
    assert sorted(snapshot_files(more["path"])) == ["config.json", "pytorch_model.bin"]


def test_two_tasks_that_choose_differently_both_come_to_rest(run: Run, hub: Hub) -> None:
    choices: list[dict[str, t.Any]] = [{}, {"allow_patterns": ["tokenizer*", "*.json"]}, {"allow_patterns": ["*.bin"]}]
    assert [run(revision=MAIN, **choice)["changed"] for choice in choices] == [True, False, True]
    asked = len(hub.requests)
    assert [run(revision=MAIN, **choice)["changed"] for choice in choices] == [False] * 3
    assert len(hub.requests) == asked


def test_what_else_lies_in_a_snapshot_stays(run: Run) -> None:
    path = Path(run(allow_patterns=["*.json"])["path"])
    (path / "note.txt").write_text("mine")
    (path / "link").symlink_to("config.json")
    run()
    assert sorted(snapshot_files(str(path))) == ["config.json", "link", "model.safetensors", "note.txt", *WANTED[2:]]
    assert (path / "link").is_symlink()


def test_a_file_that_only_looks_like_the_blob_is_not_taken_for_it(run: Run, cache_dir: Path) -> None:
    path = Path(run()["path"], "config.json")
    path.unlink()
    path.write_bytes(bytes(len(FILES["config.json"])))
    assert run()["changed"] is True
    assert path.read_bytes() == FILES["config.json"]


@pytest.mark.parametrize("damage", ["truncated blob", "lost link", "lost blob", "lost manifest", "lost ref"])
def test_damage_is_mended(run: Run, cache_dir: Path, damage: str) -> None:
    done = run()
    folder = cache_dir / "models--org--tiny"
    blob = folder / "blobs" / etag_of("config.json", FILES["config.json"])
    expected = len(FILES["config.json"])
    if damage == "truncated blob":
        blob.write_bytes(b"{")
    elif damage == "lost blob":
        blob.unlink()
    else:
        expected = 0
        lost = {"lost link": Path(done["path"], "config.json"), "lost ref": folder / "refs" / "main"}
        lost.get(damage, folder / ".llmops" / "manifests" / f"{MAIN}.json").unlink()
    mended = run()
    assert (mended["changed"], mended["bytes_downloaded"]) == (True, expected)
    assert snapshot_files(mended["path"]) == {name: FILES[name] for name in WANTED}
    assert run()["changed"] is False


def test_snapshot_of_another_program_is_taken_over_after_a_check(run: Run, hub: Hub, cache_dir: Path) -> None:
    snapshot_download(REPO, endpoint=hub.url, cache_dir=cache_dir, token=False, allow_patterns=WANTED)
    blob = cache_dir / "models--org--tiny" / "blobs" / etag_of("notes/readme.txt", FILES["notes/readme.txt"])
    blob.write_bytes(b"HELLO\n")
    done = run()
    assert (done["changed"], done["bytes_downloaded"]) == (True, len(b"hello\n"))
    assert snapshot_files(done["path"]) == {name: FILES[name] for name in WANTED}


def use(hub: Hub, handler: type[HubHandler]) -> None:
    hub.server.RequestHandlerClass = handler


def test_interrupted_run_leaves_nothing_visible_and_keeps_what_was_verified(
    run: Run, hub: Hub, cache_dir: Path
) -> None:
    broken = ["readme.txt"]

    def refuse_readme(handler: FaultInjectingHandler) -> bool:
        if handler.path.endswith(tuple(broken)):
            raise RefusalError(500, None, "broken")
        return False

    use(hub, faulty(refuse_readme))
    failed = run(max_workers=1)
    assert failed["error_kind"] == "server"
    assert failed["msg"] == (
        f"Downloading notes/readme.txt of org/tiny from {hub.url} failed: the hub itself has a fault (500). "
        "Run again later."
    )
    folder = cache_dir / "models--org--tiny"
    assert not any((folder / "snapshots").iterdir())
    assert not (folder / "refs").exists()
    broken.clear()
    done = run()
    assert done["bytes_downloaded"] == len(FILES["notes/readme.txt"])
    assert snapshot_files(done["path"]) == {name: FILES[name] for name in WANTED}


def test_passing_fault_is_tried_again(run: Run, hub: Hub, pauses: list[float]) -> None:
    seen: list[str] = []

    def refuse_once(handler: FaultInjectingHandler) -> bool:
        if handler.path not in seen:
            seen.append(handler.path)
            raise RefusalError(503, None, "busy")
        return False

    use(hub, faulty(refuse_once))
    assert run()["bytes_downloaded"] == SIZE
    assert pauses == [1.0] * 4


def refusing(status: int, code: str | None = None, **headers: str) -> type[FaultInjectingHandler]:
    """A hub that lists a repository and then refuses its weights."""

    def refuse(handler: FaultInjectingHandler) -> bool:
        if not handler.path.endswith("model.safetensors"):
            return False
        handler.refuse(status, code, **headers)
        return True

    return faulty(refuse)


@pytest.mark.parametrize(
    ("handler", "token", "kind", "part", "requests", "slept"),
    [
        pytest.param(refusing(401), None, "auth", "it wants a token and none was given (401).", 1, [], id="401"),
        pytest.param(refusing(401), SECRET, "auth", "it does not accept the token (401).", 1, [], id="401-with-token"),
        pytest.param(
            refusing(403, "GatedRepo"), SECRET, "licence", "Ask for access on {url}/org/tiny.", 1, [], id="403-licence"
        ),
        pytest.param(refusing(403), SECRET, "licence", "Ask for access on {url}/org/tiny", 1, [], id="403"),
        pytest.param(refusing(404, "EntryNotFound"), None, "files", "is gone. Run again, or pin", 1, [], id="404-file"),
        pytest.param(refusing(404, "RepoNotFound"), SECRET, "repository", "there is no", 1, [], id="404-repository"),
        pytest.param(refusing(404, "RevisionNotFound"), None, "revision", "has no revision", 1, [], id="404-revision"),
        pytest.param(
            refusing(429, Retry_After="30"),
            None,
            "rate_limit",
            "too many requests (429, come again in 30 seconds)",
            4,
            [30, 30, 30],
            id="429",
        ),
        pytest.param(refusing(429), None, "rate_limit", "too many requests (429)", 4, [1, 4, 16], id="429-unexplained"),
        pytest.param(
            refusing(429, Retry_After="86400"),
            None,
            "rate_limit",
            "come again in 86400 seconds",
            1,
            [],
            id="429-until-tomorrow",
        ),
        pytest.param(refusing(500), None, "server", "the hub itself has a fault (500)", 4, [1, 4, 16], id="500"),
        pytest.param(refusing(504), None, "server", "the hub itself has a fault (504)", 4, [1, 4, 16], id="504"),
        pytest.param(cutting(every=5000), None, "connection", "the connection was cut", 4, [1, 4, 16], id="cut"),
    ],
)
def test_each_refusal_has_its_outcome_and_few_requests(
    run: Run,
    hub: Hub,
    pauses: list[float],
    handler: type[HubHandler],
    token: str | None,
    kind: str,
    part: str,
    requests: int,
    slept: list[float],
) -> None:
    use(hub, handler)
    failed = run(token=token)
    assert failed["error_kind"] == kind
    assert failed["msg"].startswith(f"Downloading model.safetensors of org/tiny from {hub.url} failed: ")
    assert part.format(url=hub.url) in failed["msg"]
    assert SECRET not in json.dumps(failed)
    assert hub.asked_for("model.safetensors") == requests
    assert len(hub.requests) <= 1 + 2 + requests
    assert pauses == slept


@pytest.mark.parametrize(("status", "requests"), [(401, 1), (403, 1), (404, 1), (429, 4), (500, 4), (503, 4)])
def test_a_listing_that_is_refused_costs_few_requests(run: Run, hub: Hub, status: int, requests: int) -> None:
    def refuse(handler: FaultInjectingHandler) -> bool:
        handler.refuse(status)
        return True

    use(hub, faulty(refuse))
    assert run()["failed"] is True
    assert len(hub.requests) == requests


def test_a_connection_that_breaks_again_and_again_but_brings_much_is_enough(
    run: Run, hub: Hub, pauses: list[float]
) -> None:
    use(hub, cutting(every=len(WEIGHTS) // 10))
    assert run()["bytes_downloaded"] == SIZE
    assert hub.bytes_of_files() == SIZE
    assert hub.asked_for("model.safetensors") == 11
    assert set(pauses) == {1.0}


def test_one_failure_ends_all_transfers_and_all_of_them_can_be_resumed(
    run: Run, hub: Hub, root: Path, cache_dir: Path
) -> None:
    content = {f"{letter}.safetensors": letter.encode() * 3_000_000 for letter in "abcdef"} | {"config.json": b"{}"}
    write_repo(root, "org/large", MAIN, content, refs=("main",))
    refused: list[str] = []

    class RefusesAtHalf(Throttled):
        sent = 0

        def inject(self) -> bool:
            if not self.path.endswith("config.json") or refused:
                return False
            while RefusesAtHalf.sent < 3_000_000:
                time.sleep(0.001)
            refused.append(self.path)
            self.refuse(403)
            return True

    use(hub, RefusesAtHalf)
    assert run(repo_id="org/large")["error_kind"] == "licence"
    assert hub.bytes_of_files() < 9_000_000
    kept = sum(part.stat().st_size for part in ModelCache(cache_dir, "org/large").fetching.iterdir())
    # Not what the sockets still held.
    assert kept > 1_500_000
    done = run(repo_id="org/large")
    assert done["bytes_to_download"] == done["bytes_downloaded"] == done["total_bytes"] - kept
    assert snapshot_files(done["path"]) == content


def test_wrong_content_is_never_published(run: Run, hub: Hub, cache_dir: Path) -> None:
    def flip(handler: FaultInjectingHandler) -> bool:
        if not handler.path.endswith("model.safetensors"):
            return False
        handler.answer(WEIGHTS[:-1] + b"x")
        return True

    use(hub, faulty(flip))
    failed = run()
    assert failed["error_kind"] == "integrity"
    assert failed["msg"].startswith(
        f"Verifying model.safetensors of org/tiny failed: expected {len(WEIGHTS)} bytes with hash "
        f"{etag_of('model.safetensors', WEIGHTS)}, got {len(WEIGHTS)} bytes with hash "
    )
    assert not any((cache_dir / "models--org--tiny" / "snapshots").iterdir())
    assert hub.asked_for("model.safetensors") == 1


def test_a_bad_rest_of_an_earlier_run_costs_one_more_try(run: Run, hub: Hub, cache_dir: Path) -> None:
    cache = ModelCache(cache_dir, REPO)
    cache.fetching.mkdir(parents=True)
    # As after a power cut: the length is right, the bytes never reached the disk.
    (cache.fetching / etag_of("model.safetensors", WEIGHTS)).write_bytes(bytes(1000))
    done = run()
    assert done["bytes_to_download"] == SIZE - 1000
    assert done["bytes_downloaded"] == SIZE - 1000 + len(WEIGHTS)
    assert snapshot_files(done["path"])["model.safetensors"] == WEIGHTS


def test_check_mode_knows_what_an_interrupted_run_left(run: Run, hub: Hub, cache_dir: Path) -> None:
    use(hub, cutting(every=5000))
    run()
    left = ModelCache(cache_dir, REPO).fetching / etag_of("model.safetensors", WEIGHTS)
    assert left.stat().st_size == 4 * 5000
    assert run(check=True)["bytes_to_download"] == len(WEIGHTS) - 4 * 5000
    use(hub, HubHandler)
    done = run()
    assert done["bytes_to_download"] == done["bytes_downloaded"] == len(WEIGHTS) - 4 * 5000
    assert snapshot_files(done["path"]) == {name: FILES[name] for name in WANTED}


def test_parts_that_nobody_asks_for_any_more_make_room(run: Run, cache_dir: Path) -> None:
    cache = ModelCache(cache_dir, REPO)
    cache.fetching.mkdir(parents=True)
    (cache.fetching / ("f" * 64)).write_bytes(b"x")
    run()
    assert not cache.fetching.exists()


def test_no_room_is_seen_before_the_first_byte(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "free_bytes", lambda path: 1000)
    failed = run(reserve_bytes=10)
    assert failed["error_kind"] == "disk"
    assert f"failed: {SIZE} bytes needed and 10 bytes to stay free, but only 1000 bytes are free." in failed["msg"]
    assert hub.bytes_of_files() == 0


def test_a_disk_that_fills_up_meanwhile_is_not_taken_for_a_network_fault(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        failed = run(max_workers=1)
    assert failed["error_kind"] == "disk"
    assert failed["msg"].endswith(" failed: No space left on device. Check space, owner and mode.")
    assert len(hub.requests) == 2
    assert run()["bytes_downloaded"] == SIZE


@pytest.mark.parametrize(("free", "fits"), [(SIZE + 500, True), (SIZE + 499, False)])
def test_room_that_another_download_will_take_is_not_free(
    run: Run, hub: Hub, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    monkeypatch.setattr(download, "free_bytes", lambda path: free)
    other = ModelCache(cache_dir, "org/other")
    idle = ModelCache(cache_dir, "org/idle")
    with claim(idle.locks, what="idle", timeout=0) as ended:
        ended.announce(10**9)
    with claim(other.locks, what="other", timeout=0) as theirs:
        theirs.announce(700)
        for folder in (other.fetching, other.verified):
            folder.mkdir(parents=True)
            (folder / "x").write_bytes(bytes(100))
        done = run()
    if fits:
        assert done["changed"] is True
    else:
        assert done["error_kind"] == "disk"
        part = f"only {free} bytes are free, of which other downloads that are under way will take 500. Make room"
        assert part in done["msg"]
        assert hub.bytes_of_files() == 0


@pytest.mark.parametrize(
    ("options", "kind", "part"),
    [
        ({"repo_id": "org/none"}, "repository", "there is no repository org/none"),
        ({"revision": "v9"}, "revision", "org/tiny has no revision 'v9'."),
        ({"revision": "9" * 40}, "revision", f"org/tiny has no revision '{'9' * 40}'."),
        ({"allow_patterns": ["*.gguf"]}, "files", "none of its 4 files matches allow_patterns *.gguf."),
        ({"endpoint": "http://127.0.0.1:9"}, "connection", "Check that this host reaches the endpoint"),
        (
            {"token_file": "/absent/token"},
            "auth",
            "Reading token_file /absent/token failed: No such file or directory.",
        ),
    ],
    ids=["repository", "branch", "commit", "patterns", "unreachable", "token-file"],
)
@pytest.mark.parametrize("check", [True, False])
def test_failures_name_the_thing(
    run: Run, cache_dir: Path, options: dict[str, t.Any], kind: str, part: str, check: bool
) -> None:
    failed = run(check=check, **options)
    assert failed["error_kind"] == kind
    assert part in failed["msg"]
    assert not cache_dir.exists()


@pytest.mark.parametrize(
    ("options", "kind", "part"),
    [
        ({}, "auth", "org/tiny is gated and no token was given. Accept its licence on "),
        ({"token": SECRET + "Wrong"}, "licence", "the licence of org/tiny has not been accepted"),
    ],
    ids=["no-token", "not-accepted"],
)
@pytest.mark.parametrize("check", [True, False])
def test_gated(run: Run, hub: Hub, options: dict[str, t.Any], kind: str, part: str, check: bool) -> None:
    hub.server.gated[REPO] = SECRET
    failed = run(check=check, **options)
    assert failed["error_kind"] == kind
    assert part in failed["msg"]
    assert f"{hub.url}/org/tiny" in failed["msg"]


def test_token_from_a_file_opens_the_gate_and_shows_nowhere(
    run: Run, hub: Hub, cache_dir: Path, tmp_path: Path
) -> None:
    hub.server.gated[REPO] = SECRET
    (tmp_path / "token").write_text(SECRET + "\n")
    done = run(token_file=str(tmp_path / "token"))
    assert done["bytes_downloaded"] == SIZE
    assert SECRET not in json.dumps(done)
    for entry in cache_dir.rglob("*"):
        assert not entry.is_file() or SECRET.encode() not in entry.read_bytes()


@pytest.mark.parametrize("token", [f"{SECRET}\nX-Evil: 1", f"{SECRET} two", f"{SECRET}\u00fc"])
@pytest.mark.parametrize("in_file", [True, False])
def test_a_token_that_cannot_be_one_is_not_shown(run: Run, tmp_path: Path, token: str, in_file: bool) -> None:
    (tmp_path / "token").write_text(token)
    failed = run(**({"token_file": str(tmp_path / "token")} if in_file else {"token": token}))
    assert failed["error_kind"] == "auth"
    assert failed["msg"].endswith(" failed: a token is one word of ASCII. Check what was put there.")
    assert SECRET not in json.dumps(failed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"repo_id": "../x"},
            "repo_id is '../x'; it must be organisation/name of letters, digits, '.', '_' and single '-'.",
        ),
        ({"cache_dir": "models"}, "cache_dir is models; it must be an absolute path."),
        ({"max_workers": 0}, "max_workers is 0; it must be at least 1."),
        ({"reserve_bytes": -1}, "reserve_bytes is -1; it must not be negative."),
        (
            {"endpoint": "ftp://x"},
            "endpoint must be the http or https address of a hub, without user or password; use token.",
        ),
        (
            {"allow_patterns": []},
            "allow_patterns is empty; leave it out for the default, or give at least one pattern.",
        ),
        ({"token": SECRET, "token_file": "/b"}, "parameters are mutually exclusive: token|token_file"),
    ],
)
def test_bad_options(run: Run, options: dict[str, t.Any], message: str) -> None:
    assert run(**options)["msg"] == message


def test_remove_twice_each_first_in_check_mode(run: Run, cache_dir: Path) -> None:
    run(revision="v1")
    run()
    folder = cache_dir / "models--org--tiny"
    before = sorted(cache_dir.rglob("*"))
    planned = run(state="absent", revision="v1", check=True)
    assert sorted(cache_dir.rglob("*")) == before
    done = run(state="absent", revision="v1")
    assert planned == done
    assert (done["changed"], done["commit"], done["path"]) == (True, OLD, None)
    assert done["diff"]["before"] == {"commit": OLD, "refs": ["v1"], "blobs": 1}
    assert not (folder / "refs" / "v1").exists()
    assert run()["changed"] is False
    for check in (True, False):
        assert run(state="absent", revision="v1", check=check)["changed"] is False
    assert run(state="absent", revision=MAIN)["changed"] is True
    assert not folder.exists()


def test_second_writer_waits_and_finds_it_present(hub: Hub, cache_dir: Path) -> None:
    results: list[download.Outcome] = []

    def one() -> None:
        client = HubClient(endpoint=hub.url, token=None)
        results.append(download.ensure_present(ModelCache(cache_dir, REPO), client, download.Request(revision="main")))

    threads = [threading.Thread(target=one) for _turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.changed for outcome in results) == [False, False, True]
    assert hub.bytes_of_files() == SIZE


def with_slurm(monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """A queue with one job, or one that gives no answer."""

    def live(queue: Queue, user: str | None) -> list[Job]:
        if script is None:
            raise CommandError("squeue gave no answer.", command=["squeue"], rc=1, stderr="")
        return [Job(job_id=12, name="vllm-serve-tiny", user="vllm", state="RUNNING", nodes="gpu1")]

    monkeypatch.setattr(connect, "slurm_is_here", lambda module: True)
    monkeypatch.setattr(connect, "find_tools", lambda module, account: None)
    monkeypatch.setattr(Queue, "live", live)
    monkeypatch.setattr(Queue, "script", lambda queue, job: script)


@pytest.mark.parametrize("check", [True, False])
def test_a_revision_that_a_job_uses_is_kept(
    run: Run, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    path = run()["path"]
    run(revision="v1")
    with_slurm(monkeypatch, f"vllm serve org/tiny --revision {MAIN}")
    before = sorted(ModelCache(cache_dir, REPO).folder.rglob("*"))
    failed = run(state="absent", check=check)
    assert failed["error_kind"] == "in_use"
    assert failed["msg"] == (
        f"Removing {MAIN} of org/tiny from {cache_dir} failed: it is in use by job 12 (vllm-serve-tiny of vllm, "
        "RUNNING on gpu1). End what uses it, then run this task again."
    )
    assert sorted(ModelCache(cache_dir, REPO).folder.rglob("*")) == before
    # The job says which revision it means, so another one may go.
    assert run(state="absent", revision="v1", check=check)["changed"] is True
    assert snapshot_files(path) == {name: FILES[name] for name in WANTED}


def test_no_answer_of_slurm_is_not_taken_for_no_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run()["path"]
    with_slurm(monkeypatch, None)
    failed = run(state="absent")
    assert failed["error_kind"] == "in_use"
    assert failed["msg"] == (
        f"Asking Slurm which jobs use {MAIN} of org/tiny failed, so it is kept. squeue gave no answer."
    )
    assert Path(path).is_dir()


@pytest.mark.parametrize("revision", ["main", OLD])
def test_a_name_that_the_cache_does_not_know_is_no_silent_success(run: Run, cache_dir: Path, revision: str) -> None:
    run(revision=MAIN)
    absent = run(state="absent", revision=revision)
    assert absent["changed"] is False
    told = [
        f"org/tiny has no revision main in {cache_dir}, so nothing was removed. These are there: {MAIN}.",
    ]
    # A commit leaves no doubt about what was meant.
    assert absent["warnings"] == (told if revision == "main" else [])


def test_nothing_to_remove_needs_no_answer_of_slurm(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with_slurm(monkeypatch, None)
    assert run(state="absent")["changed"] is False


def test_what_an_interrupted_download_left_is_removed(run: Run, hub: Hub, cache_dir: Path) -> None:
    use(hub, cutting(every=5000))
    run()
    folder = cache_dir / "models--org--tiny"
    for check in (True, False):
        done = run(state="absent", check=check)
        assert (done["changed"], done["commit"]) == (True, None)
        assert done["diff"] == {"before": {"leftovers": str(folder)}, "after": {"leftovers": None}}
        assert folder.exists() is check
    assert run(state="absent")["changed"] is False


def test_the_folder_of_another_program_is_no_leftover(run: Run, cache_dir: Path) -> None:
    blobs = cache_dir / "models--org--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "x.incomplete").write_bytes(b"x")
    assert run(state="absent")["changed"] is False
    assert (blobs / "x.incomplete").exists()


def test_ref_that_is_not_a_commit_never_becomes_a_path(run: Run, cache_dir: Path) -> None:
    victim = cache_dir / "victim"
    victim.mkdir(parents=True)
    refs = cache_dir / "models--org--tiny" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("../../victim")
    assert run(state="absent")["changed"] is False
    assert victim.is_dir()


def test_free_bytes_of_a_folder_to_come(tmp_path: Path) -> None:
    assert hub_cache.free_bytes(tmp_path / "a" / "b") > 0


def test_defaults_agree_with_the_documentation() -> None:
    import yaml

    documented = yaml.safe_load(hf_model.DOCUMENTATION)["options"]
    spec = hf_model.argument_spec()
    assert {name: option.get("default") for name, option in documented.items()} == {
        name: option.get("default") for name, option in spec.items()
    }


@pytest.mark.skipif(find_spec("ansible.cli") is None, reason="ansible-test hides all of Ansible but its module_utils")
def test_examples_run_as_written(tmp_path: Path) -> None:
    import yaml

    phi, mistral = "microsoft/Phi-3-mini-4k-instruct", "mistralai/Mistral-7B-Instruct-v0.3"
    commit = "f39ac1d28e925b323eae81227eaba4464caced4e"
    content = FILES | {"tokenizer.json": b"[]\n", "consolidated.safetensors": WEIGHTS}
    for repo, revision in ((phi, commit), (mistral, MAIN)):
        write_repo(tmp_path / "served", repo, revision, content, refs=("main",))
    with running_hub(tmp_path / "served", gated={mistral: SECRET}) as hub:
        # The public hub and the usual cache are stood in for; nothing else is changed.
        defaults = {"endpoint": hub.url, "cache_dir": str(tmp_path / "cache")}
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"llmops.cluster.hf_model": defaults},
            "tasks": yaml.safe_load(hf_model.EXAMPLES),
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        done = spawn(
            "from ansible.cli.playbook import main; main()",
            *("--inventory", "localhost,", "--connection", "local", str(tmp_path / "play.yml")),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            HOME=str(tmp_path),
            HF_TOKEN=SECRET,
            PATH="/usr/bin:/bin",
            ANSIBLE_PYTHON_INTERPRETER=sys.executable,
        )
        out = done.communicate(timeout=120)[0]
    assert done.returncode == 0, out
    assert "ok=5    changed=4 " in out
    assert "2.00 MB to come at commit " + MAIN in out
    assert SECRET not in out
    assert sorted(path.name for path in (tmp_path / ".cache/huggingface/hub").glob("*/snapshots/*/*")) == [
        "tokenizer.json"
    ]
    assert not (tmp_path / "cache" / "models--microsoft--Phi-3-mini-4k-instruct").exists()
