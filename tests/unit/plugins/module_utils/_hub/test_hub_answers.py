# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import email.message
import errno
import http.client
import socket
import ssl
import typing as t
import urllib.error

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import answers
from ansible_collections.llmops.cluster.plugins.module_utils._hub.answers import Asked, translate
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError

HUB = "https://hub.example"
PAGE = f"{HUB}/org/tiny"


def refused(status: int, code: str | None = None, **headers: str) -> urllib.error.HTTPError:
    message = email.message.Message()
    for name, value in (headers | ({"X_Error_Code": code} if code else {})).items():
        message[name.replace("_", "-").lower()] = value
    return urllib.error.HTTPError("https://signed.example/?X-Amz-Signature=secret", status, "secret", message, None)


def told(error: Exception, token: bool = False) -> HubError:
    asked = Asked("Downloading a.json of org/tiny", repo_id="org/tiny", revision="v9", endpoint=HUB, token=token)
    return translate(error, asked)


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


START = f"Downloading a.json of org/tiny from {HUB} failed: "


@pytest.mark.parametrize(
    ("error", "token", "kind", "message"),
    [
        pytest.param(
            refused(404, "RevisionNotFound"),
            False,
            "revision",
            f"org/tiny has no revision 'v9'. Give a branch, a tag or a commit that {PAGE} lists.",
            id="revision",
        ),
        pytest.param(
            refused(401, "GatedRepo"),
            False,
            "auth",
            f"org/tiny is gated and no token was given. Accept its licence on {PAGE} and set token or token_file.",
            id="gated-no-token",
        ),
        pytest.param(
            refused(403, "GatedRepo"),
            True,
            "licence",
            f"the licence of org/tiny has not been accepted by the owner of the token. Ask for access on {PAGE}.",
            id="gated-not-accepted",
        ),
        pytest.param(
            refused(401, "RepoNotFound"),
            False,
            "repository",
            "there is no repository org/tiny, or it is private and no token was given. "
            "Check repo_id, or set token or token_file.",
            id="no-repository",
        ),
        pytest.param(
            refused(404, "RepoNotFound"),
            True,
            "repository",
            "there is no repository org/tiny, or the token may not see it. Check repo_id.",
            id="no-repository-with-token",
        ),
        pytest.param(
            refused(404, "EntryNotFound"),
            False,
            "files",
            "a file of revision 'v9' of org/tiny is gone. Run again, or pin another revision.",
            id="no-file",
        ),
        pytest.param(
            refused(401),
            True,
            "auth",
            "it does not accept the token (401). Check that it is complete and has not been revoked.",
            id="wrong-token",
        ),
        pytest.param(
            refused(401),
            False,
            "auth",
            "it wants a token and none was given (401). Set token or token_file.",
            id="peer-no-token",
        ),
        pytest.param(
            refused(403),
            True,
            "licence",
            "the token may not do this (403). "
            f"Ask for access on {PAGE}, and give a token that has the right to read it.",
            id="forbidden",
        ),
        pytest.param(
            refused(403, X_Error_Message="Enable access to gated repositories\nin your token"),
            True,
            "licence",
            "the token may not do this (403). "
            f"Ask for access on {PAGE}, and give a token that has the right to read it. "
            "The hub says: Enable access to gated repositories in your token",
            id="forbidden-with-a-reason",
        ),
        pytest.param(
            refused(429, Retry_After="7"),
            False,
            "rate_limit",
            "too many requests (429, come again in 7 seconds). Run again later, with a token or fewer max_workers.",
            id="rate-limit",
        ),
        pytest.param(
            refused(503), False, "server", "the hub itself has a fault (503). Run again later.", id="hub-down"
        ),
        pytest.param(
            refused(418),
            False,
            "server",
            "unexpected answer 418. Check that endpoint is a model hub.",
            id="not-a-hub",
        ),
        pytest.param(
            urllib.error.URLError(ConnectionResetError(errno.ECONNRESET, "reset")),
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
        pytest.param(
            http.client.BadStatusLine("secret"),
            False,
            "connection",
            "the connection failed or was cut (BadStatusLine). "
            "Check that this host reaches the endpoint (proxy, DNS, firewall) and run again.",
            id="not-http",
        ),
        pytest.param(
            urllib.error.URLError(untrusted()),
            False,
            "connection",
            "its certificate is not trusted (self-signed certificate). Check the host's clock and CA certificates.",
            id="certificate",
        ),
    ],
)
def test_each_failure_says_what_and_what_to_do(error: Exception, token: bool, kind: str, message: str) -> None:
    found = told(error, token)
    assert (found.kind, found.message) == (kind, START + message)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 20.0),
        ({"Retry_After": "Wed, 21 Oct 2015 07:00:00 GMT"}, 0.0),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": ""}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({}, None),
    ],
    ids=["seconds", "date", "past", "neither", "empty", "window", "window-not-used-up", "none"],
)
def test_when_to_come_again(headers: dict[str, str], wait: float | None) -> None:
    found = answers.retry_after(refused(429, **headers).headers, now=lambda: 1445412460.0)
    assert found == wait


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_no_message_repeats_the_address_or_the_exception_s_text(status: int) -> None:
    assert "secret" not in told(refused(status)).message


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (refused(401), False),
        (refused(403), False),
        (refused(404), False),
        (refused(418), False),
        (refused(408), True),
        (refused(429), True),
        (refused(500), True),
        (refused(504), True),
        (TimeoutError(), True),
        (urllib.error.URLError(untrusted()), False),
    ],
    ids=str,
)
def test_what_is_worth_another_try(error: Exception, transient: bool) -> None:
    assert told(t.cast(Exception, error)).transient is transient
