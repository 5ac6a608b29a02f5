# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines compile: found, handed on, kept, and never in a job's way."""

from __future__ import annotations

import http.server
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from llmops_cache import run, store


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "node" / "lab--tiny"


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "lab--tiny.tar"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """That of the job scripts."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_node_without_anything_is_cold(cache: Path, seed: Path) -> None:
    assert run.take(cache, None) == "cold"
    assert run.take(cache, seed) == "cold"
    assert not cache.exists()


def test_what_the_node_has_is_a_hit(cache: Path, seed: Path) -> None:
    fill(cache, "inductor/a.so", "triton/b", "x.lock", "modelinfos/c.json", "inductor/__pycache__/d.pyc")
    assert run.take(cache, seed) == "hit (2 files, from this node)"


def test_the_first_one_keeps_and_another_node_takes(cache: Path, seed: Path, tmp_path: Path) -> None:
    fill(cache, "inductor/a.so", "triton/b")
    assert run.keep(cache, set(), seed) == ("ready with 2 files, 2 of them made by this start; kept for other nodes")
    other = tmp_path / "other" / "lab--tiny"
    assert run.take(other, seed) == "hit (2 files, seeded)"
    assert (other / "inductor/a.so").read_text() == "inductor/a.so"
    assert run.take(other, seed) == "hit (2 files, from this node)"
    assert [path.name for path in other.parent.iterdir()] == ["lab--tiny"]


def test_a_start_that_made_nothing_writes_nothing(cache: Path, seed: Path) -> None:
    fill(cache, "a")
    run.keep(cache, set(), seed)
    before = seed.stat().st_mtime_ns
    assert run.keep(cache, {"a"}, seed) == "ready with 1 file, 0 of them made by this start"
    assert seed.stat().st_mtime_ns == before


def test_a_start_that_made_more_adds_it(cache: Path, seed: Path, tmp_path: Path) -> None:
    fill(cache, "a")
    run.keep(cache, set(), seed)
    fill(cache, "b")
    assert run.keep(cache, {"a"}, seed).endswith("1 of them made by this start; kept for other nodes")
    assert run.take(tmp_path / "other", seed) == "hit (2 files, seeded)"
    assert [path.name for path in seed.parent.iterdir()] == ["lab--tiny.tar"]


def test_a_file_or_two_at_each_start_do_not_pile_up(cache: Path, seed: Path) -> None:
    names = {f"f{number}" for number in range(20)}
    fill(cache, *names)
    run.keep(cache, set(), seed)
    fill(cache, "g0")
    assert run.keep(cache, names, seed) == "ready with 21 files, 1 of them made by this start"


def test_without_a_shared_folder_it_only_tells(cache: Path) -> None:
    fill(cache, "a")
    assert run.keep(cache, set(), None) == "ready with 1 file, 1 of them made by this start"


def test_what_cannot_be_kept_is_said(cache: Path, tmp_path: Path) -> None:
    fill(cache, "a")
    fill(tmp_path, "file")
    said = run.keep(cache, set(), tmp_path / "file" / "seed.tar")
    assert said.startswith("ready with 1 file, 1 of them made by this start; they could not be kept for other nodes: ")


def archive(seed: Path, *members: tarfile.TarInfo) -> None:
    seed.parent.mkdir(parents=True)
    with tarfile.open(seed, "w") as made:
        for member in members:
            made.addfile(member, io.BytesIO(b"x" * member.size))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    found.size = 1 if kind == tarfile.REGTYPE else 0
    return found


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(member("/etc/cron.d/x"), id="absolute"),
        pytest.param(member("a/../../x"), id="climbs"),
        pytest.param(member("a", tarfile.SYMTYPE, "/etc"), id="symbolic-link"),
        pytest.param(member("a", tarfile.LNKTYPE, "b"), id="hard-link"),
        pytest.param(member("a", tarfile.CHRTYPE), id="device"),
    ],
)
def test_what_no_cache_has_is_refused(cache: Path, seed: Path, bad: tarfile.TarInfo) -> None:
    archive(seed, member("fine"), bad)
    said = run.take(cache, seed)
    assert said == f"cold (what other nodes compiled could not be taken: it holds {bad.name!r}, which no cache has)"
    assert not cache.exists()
    assert list(cache.parent.iterdir()) == []


@pytest.mark.parametrize(("which", "mode"), [("file", 0o666), ("folder", 0o777)])
def test_what_others_may_write_is_refused(cache: Path, seed: Path, which: str, mode: int) -> None:
    archive(seed, member("fine"))
    path = seed if which == "file" else seed.parent
    path.chmod(mode)
    assert run.take(cache, seed) == (
        f"cold (what other nodes compiled could not be taken: {path} belongs to another user, or others may write it)"
    )


def test_what_another_user_wrote_is_refused(cache: Path, seed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(seed, member("fine"))
    monkeypatch.setattr(os, "geteuid", lambda: seed.stat().st_uid + 1)
    assert "belongs to another user" in run.take(cache, seed)


@pytest.mark.parametrize("content", [b"", b"no archive", b"x" * 2048])
def test_a_broken_file_is_said(cache: Path, seed: Path, content: bytes) -> None:
    seed.parent.mkdir()
    seed.write_bytes(content)
    assert run.take(cache, seed).startswith("cold (what other nodes compiled could not be taken: ")


def test_a_file_cut_short_brings_nothing(cache: Path, seed: Path, tmp_path: Path) -> None:
    fill(tmp_path / "from", "a", "b")
    (tmp_path / "from/b").write_bytes(b"x" * 100_000)
    store.pack(tmp_path / "from", {"a", "b"}, seed)
    seed.write_bytes(seed.read_bytes()[:50_000])
    assert run.take(cache, seed).startswith("cold (")
    assert not cache.exists()


def test_another_job_that_was_faster_wins(cache: Path, seed: Path, tmp_path: Path) -> None:
    fill(tmp_path / "from", "a")
    store.pack(tmp_path / "from", {"a"}, seed)
    cache.mkdir(parents=True)
    (cache / "x.lock").touch()
    assert run.take(cache, seed).startswith("cold (")
    assert [path.name for path in cache.parent.iterdir()] == ["lab--tiny"]


class Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("status", [200, 503])
def test_the_engine_is_asked_where_its_record_says(tmp_path: Path, status: int) -> None:
    record = tmp_path / "42.json"
    handler = type("Answer", (Health,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert not run.answers(record, "127.0.0.1")
        record.write_text(json.dumps({"port": server.server_port}))
        assert run.answers(record, "127.0.0.1") is (status == 200)
        server.shutdown()
    assert not run.answers(record, "127.0.0.1")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"port": null}', '{"port": "x"}'])
def test_a_record_that_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "42.json").write_text(text)
    assert not run.answers(tmp_path / "42.json", "127.0.0.1")


def test_waiting_ends_with_the_engine_or_with_the_job() -> None:
    looks = iter([False, False, True])
    slept: list[float] = []
    assert run.wait(lambda: next(looks), lambda: True, slept.append)
    assert slept == [1.0, 1.0]
    lives = iter([True, False])
    assert not run.wait(lambda: False, lambda: next(lives), slept.append)


def test_as_a_program(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["take", str(cache)]) == 0
    assert capsys.readouterr().out == "compile cache: cold\n"
