# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import transfer
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import Stream
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError, Kind
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import ModelFile
from ansible_collections.llmops.cluster.plugins.module_utils._hub.transfer import PAUSES, Transfer, with_retries

CONTENT = bytes(range(100))
FILE = ModelFile(path="m.safetensors", size=100, oid="1" * 40)


def failure(kind: Kind = "connection", retry_after: float | None = None, transient: bool = True) -> HubError:
    return HubError(kind=kind, message=kind, transient=transient, retry_after=retry_after)


class FakeHub:
    """Gives `each` bytes a request and breaks off, or refuses; a hub without ranges starts at 0 each time."""

    def __init__(self, each: int = 1000, refusals: int = 0, ranges: bool = True) -> None:
        self.asked: list[tuple[int, int]] = []
        self._each, self._refusals, self._ranges = each, refusals, ranges

    def open(self, repo_id: str, commit: str, file: ModelFile, first: int, last: int) -> Stream:
        self.asked.append((first, last))
        if len(self.asked) <= self._refusals:
            raise failure("server")
        return t.cast(Stream, FakeStream(first if self._ranges else 0, last + 1, self._each))


class FakeStream:
    def __init__(self, first: int, end: int, each: int) -> None:
        self.first, self._end, self._each = first, end, each

    def blocks(self, left: int) -> t.Iterator[bytes]:
        assert left == self._end - self.first
        stop = min(self._end, self.first + self._each)
        for start in range(self.first, stop, 7):
            yield CONTENT[start : min(start + 7, stop)]
        if stop < self._end:
            raise failure()

    def close(self) -> None:
        pass


def fetch(hub: FakeHub, part: Path, pauses: list[float] | None = None) -> int:
    pause = (pauses if pauses is not None else []).append
    return Transfer(hub, "org/tiny", "0" * 40, pause=pause).fetch(FILE, part)


@pytest.mark.parametrize(
    ("left", "asked", "received"),
    [
        pytest.param(None, [(0, 99)], 100, id="nothing-here"),
        pytest.param(CONTENT[:37], [(37, 99)], 63, id="a-part"),
        pytest.param(CONTENT, [], 0, id="all"),
        pytest.param(CONTENT + b"x", [(0, 99)], 100, id="too-much"),
    ],
)
def test_what_is_here_is_not_asked_for(
    tmp_path: Path, left: bytes | None, asked: list[tuple[int, int]], received: int
) -> None:
    part = tmp_path / "part"
    if left is not None:
        part.write_bytes(left)
    hub = FakeHub()
    assert fetch(hub, part) == received
    assert (hub.asked, part.read_bytes()) == (asked, CONTENT)


def test_an_empty_file_needs_no_request(tmp_path: Path) -> None:
    hub = FakeHub()
    Transfer(hub, "org/tiny", "0" * 40, pause=lambda _seconds: None).fetch(
        ModelFile(path="empty", size=0, oid="1" * 40), tmp_path / "part"
    )
    assert (hub.asked, (tmp_path / "part").read_bytes()) == ([], b"")


def test_a_cut_connection_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    hub, pauses = FakeHub(each=40), list[float]()
    assert fetch(hub, tmp_path / "part", pauses) == 100
    assert hub.asked == [(0, 99), (40, 99), (80, 99)]
    assert (tmp_path / "part").read_bytes() == CONTENT
    # Each try brought much, so none of them counts.
    assert pauses == [PAUSES[0]] * 2


def test_tries_that_bring_little_are_few(tmp_path: Path) -> None:
    hub, pauses = FakeHub(each=4), list[float]()
    with pytest.raises(HubError, match="connection"):
        fetch(hub, tmp_path / "part", pauses)
    assert (hub.asked[-1], len(hub.asked), pauses) == ((12, 99), 4, list(PAUSES))
    # And what they brought is there for the next run.
    assert (tmp_path / "part").read_bytes() == CONTENT[:16]


def test_a_hub_without_ranges_is_not_asked_for_ever(tmp_path: Path) -> None:
    hub = FakeHub(each=60, ranges=False)
    with pytest.raises(HubError, match="connection"):
        fetch(hub, tmp_path / "part")
    assert len(hub.asked) == 1 + len(PAUSES)
    (tmp_path / "part").write_bytes(CONTENT[:60])
    assert fetch(FakeHub(ranges=False), tmp_path / "part") == 100
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_large_file_comes_in_several_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MOST_AT_A_TIME", 45)
    hub = FakeHub()
    assert fetch(hub, tmp_path / "part") == 100
    assert hub.asked == [(0, 44), (45, 89), (90, 99)]


def test_what_came_is_with_the_kernel_at_once(tmp_path: Path) -> None:
    part, sizes = tmp_path / "part", list[int]()

    def going() -> None:
        sizes.append(os.stat(part).st_size)

    Transfer(FakeHub(), "org/tiny", "0" * 40, pause=lambda _seconds: None, going=going).fetch(FILE, part)
    assert sizes == [*range(7, 100, 7), 100]


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        pytest.param(failure(transient=False), [], id="refused"),
        pytest.param(failure("server"), [1.0, 4.0, 16.0], id="server"),
        pytest.param(failure("rate_limit", 7.0), [7.0, 7.0, 16.0], id="told-when"),
        pytest.param(failure("rate_limit", 300.0), [300.0] * 3, id="told-five-minutes"),
        pytest.param(failure("rate_limit", 301.0), [], id="told-longer"),
    ],
)
def test_pauses(error: HubError, pauses: list[float]) -> None:
    found: list[float] = []

    def ask() -> None:
        raise error

    with pytest.raises(HubError) as caught:
        with_retries(ask, found.append)
    assert (caught.value, found) == (error, pauses)
