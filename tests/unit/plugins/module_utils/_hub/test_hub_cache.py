# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.cache import exchange


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())


def refused_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    library = type("Library", (), {"renameat2": staticmethod(lambda *_args: -1)})
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)


@pytest.mark.parametrize("how", [None, without_exchange, refused_exchange], ids=["kernel", "old-library", "refused"])
def test_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: object) -> None:
    if callable(how):
        how(monkeypatch)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    exchange(tmp_path / "a", tmp_path / "b")
    assert [sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / name).iterdir()) for name in "ab"] == [
        ["a/b"],
        ["b/a"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_reader_never_misses_a_file_during_an_exchange(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    missed, stop = list[str](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                (tmp_path / "b" / "config.json").read_text()
            except FileNotFoundError as error:
                missed.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for _turn in range(300):
        exchange(tmp_path / "a", tmp_path / "b")
    stop.set()
    reader.join()
    assert missed == []
