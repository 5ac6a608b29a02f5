# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hf_model against a hub: the real client library, the real protocol, a real cache on disk."""

from __future__ import annotations

import json
import os
import sys
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import cache as hub_cache
from ansible_collections.llmops.cluster.plugins.module_utils._hub import download
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import ModelCache
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.server import HubHandler, RefusalError
from ansible_collections.llmops.cluster.plugins.modules import hf_model
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    FILES,
    MAIN,
    OLD,
    REPO,
    WEIGHTS,
    Hub,
    etag_of,
    running_hub,
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
def run(hub: Hub, cache_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    pauses: list[float] = []
    present = download.ensure_present

    def patient(cache: ModelCache, client: download.Client, request: download.Request) -> download.Outcome:
        return present(cache, client, request, pauses.append)

    monkeypatch.setattr(hf_model, "ensure_present", patient)

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

    done = run()
    assert (done["changed"], done["bytes_downloaded"], done["commit"]) == (True, SIZE, MAIN)
    assert done["diff"] == planned["diff"]
    assert (done["files"], done["total_bytes"]) == (WANTED, SIZE)
    assert snapshot_files(done["path"]) == {name: FILES[name] for name in WANTED}
    assert hub.bytes_of_files() == SIZE

    for check in (True, False):
        again = run(check=check)
        assert (again["changed"], again["bytes_to_download"], again["bytes_downloaded"]) == (False, 0, 0)
        assert again["path"] == done["path"]
        assert again["diff"] == {"before": {}, "after": {}}
    assert hub.bytes_of_files() == SIZE


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


def faulty(fault: t.Callable[[HubHandler, str], bool]) -> type[HubHandler]:
    """A hub that misbehaves for the files `fault` picks."""

    class Faulty(HubHandler):
        def route(self) -> None:
            if self.command == "GET" and "/resolve/" in self.path and fault(self, self.path):
                return
            super().route()

    return Faulty


def use(hub: Hub, handler: type[HubHandler]) -> None:
    hub.server.RequestHandlerClass = handler


def test_interrupted_run_leaves_nothing_visible_and_keeps_what_was_verified(
    run: Run, hub: Hub, cache_dir: Path
) -> None:
    broken = ["readme.txt"]

    def refuse_readme(handler: HubHandler, path: str) -> bool:
        if path.endswith(tuple(broken)):
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


def test_passing_fault_is_tried_again(run: Run, hub: Hub) -> None:
    seen: list[str] = []

    def refuse_once(handler: HubHandler, path: str) -> bool:
        if path not in seen:
            seen.append(path)
            raise RefusalError(503, None, "busy")
        return False

    use(hub, faulty(refuse_once))
    assert run()["bytes_downloaded"] == SIZE


def test_wrong_content_is_never_published(run: Run, hub: Hub, cache_dir: Path) -> None:
    def flip(handler: HubHandler, path: str) -> bool:
        if not path.endswith("model.safetensors"):
            return False
        sha = etag_of("model.safetensors", WEIGHTS)
        headers = {"Content-Length": str(len(WEIGHTS)), "ETag": f'"{sha}"', "X-Repo-Commit": MAIN}
        handler._start(200, headers)
        handler._write(WEIGHTS[:-1] + b"x")
        return True

    use(hub, faulty(flip))
    failed = run()
    assert failed["error_kind"] == "integrity"
    assert failed["msg"].startswith(
        f"Verifying model.safetensors of org/tiny failed: expected {len(WEIGHTS)} bytes with hash "
        f"{etag_of('model.safetensors', WEIGHTS)}, got {len(WEIGHTS)} bytes with hash "
    )
    assert not any((cache_dir / "models--org--tiny" / "snapshots").iterdir())


def test_no_room_is_seen_before_the_first_byte(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "free_bytes", lambda path: 1000)
    failed = run(reserve_bytes=10)
    assert failed["error_kind"] == "disk"
    assert f"failed: {SIZE} bytes needed and 10 bytes to stay free, but only 1000 bytes are free." in failed["msg"]
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
def test_gated(run: Run, hub: Hub, options: dict[str, t.Any], kind: str, part: str) -> None:
    hub.server.gated[REPO] = SECRET
    failed = run(**options)
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
    assert SECRET not in os.environ.values()
    for entry in cache_dir.rglob("*"):
        assert not entry.is_file() or SECRET.encode() not in entry.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"repo_id": "../x"},
            "repo_id is '../x'; it must be organisation/name of letters, digits, '.', '_' and single '-'.",
        ),
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


def test_second_writer_waits_and_finds_it_present(run: Run, hub: Hub, cache_dir: Path) -> None:
    results: list[download.Outcome] = []
    request = download.Request(revision="main")

    class Client:
        def __init__(self) -> None:
            self._client = hf_model.HubClient(lambda: __import__("huggingface_hub"), endpoint=hub.url, token=None)
            self.listing, self.fetch = self._client.listing, self._client.fetch

    def one() -> None:
        results.append(download.ensure_present(ModelCache(cache_dir, REPO), Client(), request))

    threads = [threading.Thread(target=one) for _turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.changed for outcome in results) == [False, False, True]
    assert hub.bytes_of_files() == SIZE


def test_lock_that_is_never_given_up(cache_dir: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    cache = ModelCache(cache_dir, REPO)
    with cache.lock(1.0), pytest.raises(HubError) as caught, cache.lock(60.0, clock=lambda: now[0], sleep=sleep):
        pass
    start = f"Locking org/tiny in {cache_dir} failed: process {os.getpid()} on "
    assert caught.value.message.startswith(start)
    assert "has been writing it for more than 60 seconds." in caught.value.message


def test_missing_library(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "Failed to import the required Python library (huggingface_hub)" in run()["msg"]


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
