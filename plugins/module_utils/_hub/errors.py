# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between a hub and a model cache, each with a name, a cause and a way out."""

from __future__ import annotations

import errno
import typing as t
from collections.abc import Iterator

Kind = t.Literal[
    "auth",
    "licence",
    "repository",
    "revision",
    "files",
    "disk",
    "rate_limit",
    "server",
    "connection",
    "integrity",
    "lock",
]

# Errors of the local disk; any other OSError inside the client library comes from its sockets.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO})

# Worth another try: what the same request may well answer otherwise a moment later.
TRANSIENT: frozenset[Kind] = frozenset({"rate_limit", "server", "connection", "integrity"})


class HubError(Exception):
    """The one exception of this package: "<what we tried> on <which thing> failed: <cause>. <what to do>"."""

    def __init__(self, *, kind: Kind, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        return self.kind in TRANSIENT


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it. The client library wraps a refused request into "not found locally"."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def translate(error: Exception, *, tried: str, repo_id: str, revision: str, endpoint: str, token: bool) -> HubError:
    """Say what an exception of the client library means.

    It goes by the HTTP answer that the exception carries and not by its class: the classes differ between versions of
    the library, the protocol does not. Exceptions' own texts are not repeated where they may hold a signed address.
    """
    failed = f"{tried} from {endpoint} failed"
    for link in chain(error):
        response = getattr(link, "response", None)
        status = getattr(response, "status_code", None)
        if response is not None and isinstance(status, int):
            headers = {str(name).lower(): str(value) for name, value in dict(response.headers).items()}
            answer = Answer(status=status, code=headers.get("x-error-code"), retry_after=headers.get("retry-after"))
            return from_answer(
                answer, failed=failed, repo_id=repo_id, revision=revision, endpoint=endpoint, token=token
            )
    root = list(chain(error))[-1]
    if isinstance(root, OSError) and root.errno in DISK_ERRORS:
        return HubError(
            kind="disk", message=f"{tried} failed: {root.strerror}. Check space, owner and mode of the cache."
        )
    cause = f"the connection failed or was cut ({type(root).__name__})"
    return HubError(
        kind="connection",
        message=f"{failed}: {cause}. Check that this host reaches the endpoint (proxy, DNS, firewall) and run again.",
    )


class LibraryMissingError(Exception):
    """huggingface_hub cannot be imported by the interpreter in use; carries the traceback to show."""

    def __init__(self, *, trace: str) -> None:
        super().__init__("huggingface_hub is missing")
        self.trace = trace


class Answer(t.NamedTuple):
    """What the hub answered: status and the header that names the reason."""

    status: int
    code: str | None
    retry_after: str | None = None


def from_answer(answer: Answer, *, failed: str, repo_id: str, revision: str, endpoint: str, token: bool) -> HubError:
    page = f"{endpoint.rstrip('/')}/{repo_id}"
    status, code = answer.status, answer.code
    if code == "RevisionNotFound":
        cause = f"{repo_id} has no revision {revision!r}. Give a branch, a tag or a commit that {page} lists."
        return HubError(kind="revision", message=f"{failed}: {cause}")
    if code == "GatedRepo" and token:
        cause = f"the licence of {repo_id} has not been accepted by the owner of the token. Ask for access on {page}."
        return HubError(kind="licence", message=f"{failed}: {cause}")
    if code == "GatedRepo":
        cause = f"{repo_id} is gated and no token was given. Accept its licence on {page} and set token or token_file."
        return HubError(kind="auth", message=f"{failed}: {cause}")
    if code == "RepoNotFound" or (status == 404 and code is None):
        hint = "the token may not see it" if token else "it is private and no token was given"
        way_out = "Check repo_id." if token else "Check repo_id, or set token or token_file."
        cause = f"there is no repository {repo_id}, or {hint}. {way_out}"
        return HubError(kind="repository", message=f"{failed}: {cause}")
    if code == "EntryNotFound":
        cause = f"a file of revision {revision!r} of {repo_id} is gone. Run again, or pin another revision."
        return HubError(kind="files", message=f"{failed}: {cause}")
    return _from_status(answer, failed=failed, token=token)


def _from_status(answer: Answer, *, failed: str, token: bool) -> HubError:
    status = answer.status
    if status == 401:
        cause = (
            "it does not accept the token (401). Check that it is complete and has not been revoked"
            if token
            else ("it wants a token and none was given (401). Set token or token_file")
        )
        return HubError(kind="auth", message=f"{failed}: {cause}.")
    if status == 403:
        cause = "the token may not do this (403). Give it the right to read this repository"
        return HubError(kind="licence", message=f"{failed}: {cause}.")
    if status == 429:
        wait = float(answer.retry_after) if answer.retry_after and answer.retry_after.isdigit() else None
        text = "too many requests (429). Run again later, with a token or fewer max_workers"
        return HubError(kind="rate_limit", message=f"{failed}: {text}.", retry_after=wait)
    if status >= 500:
        cause = f"the hub itself has a fault ({status}). Run again later"
        return HubError(kind="server", message=f"{failed}: {cause}.")
    cause = f"unexpected answer {status}. Check that endpoint is a model hub"
    return HubError(kind="server", message=f"{failed}: {cause}.")
