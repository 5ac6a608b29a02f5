# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against real servers, most of which misbehave."""

from __future__ import annotations

import email.message
import http.client
import json
import typing as t
import urllib.request
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import client as hub_client
from ansible_collections.llmops.cluster.plugins.module_utils._hub.client import HubClient
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import ModelFile
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    FILES,
    MAIN,
    OLD,
    REPO,
    WEIGHTS,
    FaultInjectingHandler,
    cutting,
    etag_of,
    faulty,
    running_hub,
    write_repo,
)

TOKEN = "hf_secretCanary"
FILE = ModelFile(
    path="model.safetensors", size=len(WEIGHTS), oid="1" * 40, sha256=etag_of("model.safetensors", WEIGHTS)
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "served"
    write_repo(root, REPO, MAIN, FILES, refs=("main", "refs/pr/1"))
    return root


def read(client: HubClient, first: int = 0, last: int = FILE.size - 1) -> tuple[int, bytes]:
    stream = client.open(REPO, MAIN, FILE, first, last)
    try:
        return stream.first, b"".join(stream.blocks(last + 1 - stream.first))
    finally:
        stream.close()


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", MAIN])
def test_listing(root: Path, revision: str) -> None:
    with running_hub(root) as hub:
        listing = HubClient(endpoint=hub.url + "/", token=None).listing(REPO, revision)
        assert len(hub.requests) == 1
    assert listing.commit == MAIN
    assert {file.path: (file.size, file.blob) for file in listing.files} == {
        path: (len(content), etag_of(path, content)) for path, content in FILES.items()
    }


@pytest.mark.parametrize(("first", "last"), [(0, FILE.size - 1), (100, FILE.size - 1), (0, 0), (5, 1000)])
def test_bytes_of_a_file(root: Path, first: int, last: int) -> None:
    with running_hub(root) as hub:
        assert read(HubClient(endpoint=hub.url, token=None), first, last) == (first, WEIGHTS[first : last + 1])
        assert len(hub.requests) == 1


def test_names_with_odd_characters(root: Path) -> None:
    write_repo(root, "org/odd", MAIN, {"a b#c?/%41 ü.json": b"{}"}, refs=("main",))
    with running_hub(root) as hub:
        client = HubClient(endpoint=hub.url, token=None)
        (file,) = client.listing("org/odd", "main").files
        stream = client.open("org/odd", MAIN, file, 0, 1)
        assert (file.path, list(stream.blocks(2))) == ("a b#c?/%41 ü.json", [b"{}"])
        stream.close()


def test_a_cut_is_told_after_what_came(root: Path) -> None:
    with running_hub(root, cutting(every=1000)) as hub:
        stream = HubClient(endpoint=hub.url, token=None).open(REPO, MAIN, FILE, 0, FILE.size - 1)
        came = 0
        with pytest.raises(HubError) as caught:  # noqa: PT012 - what came before counts
            for block in stream.blocks(FILE.size):
                came += len(block)
        stream.close()
    assert (came, caught.value.kind, caught.value.transient) == (1000, "connection", True)
    assert f"the connection was cut {FILE.size - 1000} bytes too early. Check that this host" in caught.value.message


def test_a_hub_without_ranges_starts_at_the_beginning(root: Path) -> None:
    def ignore_range(handler: FaultInjectingHandler) -> bool:
        del handler.headers["Range"]
        return False

    with running_hub(root, faulty(ignore_range)) as hub:
        assert read(HubClient(endpoint=hub.url, token=None), first=100) == (0, WEIGHTS)


@pytest.mark.parametrize(
    ("headers", "speaks_of"),
    [({"Content_Type": "text/html"}, 21), ({"Content_Length": "7"}, 7)],
    ids=["page-of-a-proxy", "another-size"],
)
def test_another_thing_than_the_file_is_seen_before_it_is_read(
    root: Path, headers: dict[str, str], speaks_of: int
) -> None:
    page = b"<html>Log in!</html>\n"

    def portal(handler: FaultInjectingHandler) -> bool:
        handler.answer(page, None, **headers)
        return True

    with running_hub(root, faulty(portal)) as hub, pytest.raises(HubError) as caught:
        read(HubClient(endpoint=hub.url, token=None))
    assert (caught.value.kind, caught.value.transient) == ("integrity", False)
    assert caught.value.message == (
        f"Downloading model.safetensors of {REPO} from {hub.url} failed: it is to have {FILE.size} bytes and the "
        f"answer speaks of {speaks_of}. Check the endpoint: a proxy that answers with a page of its own does this."
    )


def entry(**changes: t.Any) -> dict[str, t.Any]:
    return {"sha": MAIN, "siblings": [{"rfilename": "a.json", "size": 2, "blobId": "3" * 40} | changes]}


@pytest.mark.parametrize(
    "answer",
    [
        "<html>Log in!</html>",
        "[]",
        "{}",
        entry() | {"sha": "../../etc"},
        entry(rfilename="../../../etc/cron.d/x"),
        entry(rfilename="/etc/passwd"),
        entry(blobId="../../../etc/passwd"),
        entry(blobId=None),
        entry(lfs={"sha256": "x"}),
        entry(size="2"),
        entry(size=-1),
        entry(size=None),
    ],
    ids=lambda answer: json.dumps(answer)[-45:],
)
def test_a_listing_is_believed_only_if_its_names_are_harmless(root: Path, answer: t.Any) -> None:
    body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()

    def lie(handler: FaultInjectingHandler) -> bool:
        handler.answer(body)
        return True

    with running_hub(root, faulty(lie)) as hub, pytest.raises(HubError) as caught:
        HubClient(endpoint=hub.url, token=None).listing(REPO, "main")
    assert caught.value.kind == "server"
    assert caught.value.message.endswith(
        "failed: the answer lacks sizes or hashes, or they are none. Check that endpoint is a model hub."
    )


def test_a_listing_that_was_cut_is_worth_another_try(root: Path) -> None:
    def cut(handler: FaultInjectingHandler) -> bool:
        handler.answer(json.dumps(entry()).encode()[:20], length=1020)
        handler.close_connection = True
        return True

    with running_hub(root, faulty(cut)) as hub, pytest.raises(HubError) as caught:
        HubClient(endpoint=hub.url, token=None).listing(REPO, "main")
    assert (caught.value.kind, caught.value.transient) == ("connection", True)
    assert "the connection was cut 1000 bytes too early" in caught.value.message


def test_a_pinned_commit_is_not_exchanged_for_another(root: Path) -> None:
    def other(handler: FaultInjectingHandler) -> bool:
        handler.answer(json.dumps(entry()).encode())
        return True

    with running_hub(root, faulty(other)) as hub, pytest.raises(HubError) as caught:
        HubClient(endpoint=hub.url, token=None).listing(REPO, OLD)
    assert f"failed: it answers with commit {MAIN}." in caught.value.message


@pytest.mark.parametrize("same_host", [True, False])
def test_the_token_goes_to_the_hub_and_to_no_other_host(root: Path, same_host: bool) -> None:
    seen: list[tuple[str, str | None, str | None]] = []

    def note(handler: FaultInjectingHandler) -> bool:
        seen.append((handler.path, handler.headers["Authorization"], handler.headers["Range"]))
        return False

    with running_hub(root, faulty(note)) as store:

        def redirect(handler: FaultInjectingHandler) -> bool:
            note(handler)
            if "moved" in handler.path or "/resolve/" not in handler.path:
                return False
            target = handler.path.replace(REPO, "org/moved")
            handler.refuse(307, Location=target if same_host else store.url + handler.path)
            return True

        write_repo(root, "org/moved", MAIN, FILES)
        with running_hub(root, faulty(redirect)) as hub:
            assert read(HubClient(endpoint=hub.url, token=TOKEN), first=7) == (7, WEIGHTS[7:])
    wanted = f"bytes=7-{FILE.size - 1}"
    assert [entry[1:] for entry in seen] == [
        (f"Bearer {TOKEN}", wanted),
        (f"Bearer {TOKEN}" if same_host else None, wanted),
    ]


@pytest.mark.parametrize(
    ("origin", "target", "followed"),
    [
        ("https://hub.example/a", "https://store.example/b", True),
        ("http://hub.example/a", "http://store.example/b", True),
        ("http://hub.example/a", "https://hub.example/a", True),
        ("https://hub.example/a", "http://hub.example/a", False),
        ("http://hub.example/a", "ftp://hub.example/a", False),
        ("https://hub.example/a", "file:///etc/passwd", False),
    ],
)
def test_where_a_redirect_may_lead(origin: str, target: str, followed: bool) -> None:
    request = urllib.request.Request(origin, headers={"Authorization": f"Bearer {TOKEN}"})
    headers = email.message.Message()

    def follow() -> urllib.request.Request | None:
        return hub_client._Redirects().redirect_request(request, None, 302, "Found", headers, target)

    if not followed:
        with pytest.raises(http.client.HTTPException):
            follow()
        return
    new = follow()
    assert new is not None
    assert (new.full_url, new.get_header("Authorization")) == (target, None)


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_redirect_that_never_ends(root: Path, token: str | None) -> None:
    def around(handler: FaultInjectingHandler) -> bool:
        handler.refuse(302, Location=handler.path)
        return True

    with running_hub(root, faulty(around)) as hub, pytest.raises(HubError) as caught:
        HubClient(endpoint=hub.url, token=token).listing(REPO, "main")
    assert caught.value.message.endswith("failed: unexpected answer 302. Check that endpoint is a model hub.")
    assert len(hub.requests) <= 10
