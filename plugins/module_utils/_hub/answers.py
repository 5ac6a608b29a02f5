# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hub's refusals and broken connections mean, as errors with a cause and a way out. Pure."""

from __future__ import annotations

import email.utils
import re
import ssl
import time
import typing as t
import urllib.error

from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError


class Headers(t.Protocol):
    """Names are looked up whatever their case."""

    def get(self, name: str, /) -> str | None: ...


class Asked(t.NamedTuple):
    """A request in words: what was tried of which repository, where, and whether with a token."""

    tried: str
    repo_id: str
    revision: str
    endpoint: str
    token: bool

    @property
    def failed(self) -> str:
        return f"{self.tried} from {self.endpoint} failed"

    @property
    def page(self) -> str:
        return f"{self.endpoint}/{self.repo_id}"


class Answer(t.NamedTuple):
    """What the hub answered: the status, the headers that name the reason, and when to come again."""

    status: int
    code: str | None = None
    said: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, status: int, headers: Headers) -> Answer:
        said = re.sub(r"[^\x20-\x7e]+", " ", headers.get("X-Error-Message") or "")[:200].strip()
        return cls(status=status, code=headers.get("X-Error-Code"), said=said, retry_after=retry_after(headers))

    @property
    def quoted(self) -> str:
        return f" The hub says: {self.said}" if self.said else ""


def translate(error: Exception, asked: Asked) -> HubError:
    """Say what an exception of the HTTP client means.

    Exceptions' own texts are not repeated where they may hold a signed address.
    """
    if isinstance(error, urllib.error.HTTPError):
        return from_answer(Answer.of(error.code, error.headers), asked)
    root = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(root, ssl.SSLCertVerificationError):
        cause = f"its certificate is not trusted ({root.verify_message}). Check the host's clock and CA certificates."
        return HubError(kind="connection", message=f"{asked.failed}: {cause}")
    return cut(asked, f"the connection failed or was cut ({type(root).__name__})")


def cut(asked: Asked, cause: str) -> HubError:
    way_out = "Check that this host reaches the endpoint (proxy, DNS, firewall) and run again."
    return HubError(kind="connection", message=f"{asked.failed}: {cause}. {way_out}", transient=True)


def from_answer(answer: Answer, asked: Asked) -> HubError:
    """What a refusal means. The hub names most reasons in a header; the status alone says less."""
    failed, repo_id, page, token = asked.failed, asked.repo_id, asked.page, asked.token
    status, code = answer.status, answer.code
    if code == "RevisionNotFound":
        cause = f"{repo_id} has no revision {asked.revision!r}. Give a branch, a tag or a commit that {page} lists."
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
        cause = f"a file of revision {asked.revision!r} of {repo_id} is gone. Run again, or pin another revision."
        return HubError(kind="files", message=f"{failed}: {cause}")
    return _from_status(answer, asked)


def _from_status(answer: Answer, asked: Asked) -> HubError:
    status, failed = answer.status, asked.failed
    if status == 401:
        cause = (
            "it does not accept the token (401). Check that it is complete and has not been revoked"
            if asked.token
            else "it wants a token and none was given (401). Set token or token_file"
        )
        return HubError(kind="auth", message=f"{failed}: {cause}.{answer.quoted}")
    if status == 403:
        cause = f"{'the token may' if asked.token else 'a stranger may'} not do this (403)"
        way_out = f"Ask for access on {asked.page}, and give a token that has the right to read it"
        return HubError(kind="licence", message=f"{failed}: {cause}. {way_out}.{answer.quoted}")
    if status == 429:
        when = f", come again in {answer.retry_after:.0f} seconds" if answer.retry_after else ""
        cause = f"too many requests (429{when}). Run again later, with a token or fewer max_workers."
        return HubError(kind="rate_limit", message=f"{failed}: {cause}", transient=True, retry_after=answer.retry_after)
    if status >= 500 or status == 408:
        cause = f"the hub itself has a fault ({status}). Run again later."
        return HubError(kind="server", message=f"{failed}: {cause}", transient=True, retry_after=answer.retry_after)
    cause = f"unexpected answer {status}. Check that endpoint is a model hub."
    return HubError(kind="server", message=f"{failed}: {cause}{answer.quoted}")


def retry_after(headers: Headers, now: t.Callable[[], float] = time.time) -> float | None:
    """Seconds to wait, as the hub states them: a number, a date, or what is left of the window of its rate limit."""
    value = headers.get("Retry-After") or ""
    if value.isdecimal():
        return float(value)
    if value:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now())
        except ValueError:
            return None
    window = re.search(r"\br=0\s*;\s*t=(\d+)", headers.get("RateLimit") or "")
    return float(window[1]) if window else None
