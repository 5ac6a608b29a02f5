# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import socket
import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError, translate

HUB = "https://hub.example"
PAGE = f"{HUB}/org/tiny"


class FakeResponse:
    def __init__(self, status_code: int, **headers: str) -> None:
        self.status_code = status_code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class RefusedError(Exception):
    """Stands for any of the client library's exceptions that carry an answer."""

    def __init__(self, status: int, code: str | None = None, **headers: str) -> None:
        super().__init__("text with https://signed.example/?X-Amz-Signature=secret")
        self.response = FakeResponse(status, **({"X_Error_Code": code} if code else {}), **headers)


def told(error: Exception, token: bool = False) -> HubError:
    return translate(
        error, tried="Downloading a.json of org/tiny", repo_id="org/tiny", revision="v9", endpoint=HUB, token=token
    )


START = f"Downloading a.json of org/tiny from {HUB} failed: "


@pytest.mark.parametrize(
    ("error", "token", "kind", "message"),
    [
        pytest.param(
            RefusedError(404, "RevisionNotFound"),
            False,
            "revision",
            f"org/tiny has no revision 'v9'. Give a branch, a tag or a commit that {PAGE} lists.",
            id="revision",
        ),
        pytest.param(
            RefusedError(401, "GatedRepo"),
            False,
            "auth",
            f"org/tiny is gated and no token was given. Accept its licence on {PAGE} and set token or token_file.",
            id="gated-no-token",
        ),
        pytest.param(
            RefusedError(403, "GatedRepo"),
            True,
            "licence",
            f"the licence of org/tiny has not been accepted by the owner of the token. Ask for access on {PAGE}.",
            id="gated-not-accepted",
        ),
        pytest.param(
            RefusedError(401, "RepoNotFound"),
            False,
            "repository",
            "there is no repository org/tiny, or it is private and no token was given. "
            "Check repo_id, or set token or token_file.",
            id="no-repository",
        ),
        pytest.param(
            RefusedError(404, "RepoNotFound"),
            True,
            "repository",
            "there is no repository org/tiny, or the token may not see it. Check repo_id.",
            id="no-repository-with-token",
        ),
        pytest.param(
            RefusedError(404, "EntryNotFound"),
            False,
            "files",
            "a file of revision 'v9' of org/tiny is gone. Run again, or pin another revision.",
            id="no-file",
        ),
        pytest.param(
            RefusedError(401),
            True,
            "auth",
            "it does not accept the token (401). Check that it is complete and has not been revoked.",
            id="wrong-token",
        ),
        pytest.param(
            RefusedError(401),
            False,
            "auth",
            "it wants a token and none was given (401). Set token or token_file.",
            id="peer-no-token",
        ),
        pytest.param(
            RefusedError(403),
            True,
            "licence",
            "the token may not do this (403). Give it the right to read this repository.",
            id="forbidden",
        ),
        pytest.param(
            RefusedError(429, Retry_After="7"),
            False,
            "rate_limit",
            "too many requests (429). Run again later, with a token or fewer max_workers.",
            id="rate-limit",
        ),
        pytest.param(
            RefusedError(503), False, "server", "the hub itself has a fault (503). Run again later.", id="hub-down"
        ),
        pytest.param(
            RefusedError(418),
            False,
            "server",
            "unexpected answer 418. Check that endpoint is a model hub.",
            id="not-a-hub",
        ),
        pytest.param(
            ConnectionResetError(errno.ECONNRESET, "reset"),
            False,
            "connection",
            "the connection failed or was cut (ConnectionResetError). "
            "Check that this host reaches the endpoint (proxy, DNS, firewall) and run again.",
            id="cut",
        ),
        pytest.param(
            socket.gaierror(-2, "Name or service not known"),
            False,
            "connection",
            "the connection failed or was cut (gaierror). "
            "Check that this host reaches the endpoint (proxy, DNS, firewall) and run again.",
            id="dns",
        ),
    ],
)
def test_each_failure_says_what_and_what_to_do(error: Exception, token: bool, kind: str, message: str) -> None:
    found = told(error, token)
    assert (found.kind, found.message) == (kind, START + message)


def test_full_disk_is_not_taken_for_a_network_fault() -> None:
    found = told(OSError(errno.ENOSPC, "No space left on device", "/opt/models/x"))
    message = (
        "Downloading a.json of org/tiny failed: No space left on device. Check space, owner and mode of the cache."
    )
    assert (found.kind, found.message) == ("disk", message)


def test_the_answer_is_found_behind_the_library_s_own_wrapping() -> None:
    def wrapped() -> None:
        try:
            raise RefusedError(401, "GatedRepo")
        except RefusedError as error:
            raise FileNotFoundError("cannot find the file locally") from error

    with pytest.raises(FileNotFoundError) as caught:
        wrapped()
    assert told(caught.value).kind == "auth"


@pytest.mark.parametrize(("value", "wait"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("", None)])
def test_retry_after(value: str, wait: float | None) -> None:
    assert told(RefusedError(429, Retry_After=value)).retry_after == wait


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_no_message_repeats_the_library_s_text(status: int) -> None:
    assert "secret" not in told(RefusedError(status)).message


@pytest.mark.parametrize(
    ("status", "transient"), [(401, False), (403, False), (404, False), (429, True), (500, True), (504, True)]
)
def test_what_is_worth_another_try(status: int, transient: bool) -> None:
    assert told(t.cast(Exception, RefusedError(status))).transient is transient
