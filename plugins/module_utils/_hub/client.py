# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that talks to a hub: two requests of its protocol, over the standard library alone.

Not huggingface_hub: that cannot resume the file of a killed process, waits for as long as a 429 tells it to, asks again
in ways that differ between its versions, and would have to be on every host. What it has and this has not is Xet; hubs
that store files so also give them by plain HTTP.
"""

from __future__ import annotations

import http.client
import json
import re
import typing as t
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote, urljoin, urlsplit

from ansible_collections.llmops.cluster.plugins.module_utils._hub.answers import Asked, cut, translate
from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import (
    COMMIT,
    SHA256,
    Listing,
    ModelFile,
    safe_path,
)

# Seconds until a connection is made, and without a byte on one that is.
TIMEOUT = 30.0
BLOCK = 256 * 1024
MOST_LISTING = 64 * 1024 * 1024
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Stream:
    """The body of an answer: which byte of the file it starts with, and the bytes as they come."""

    def __init__(self, response: http.client.HTTPResponse, first: int, asked: Asked) -> None:
        self.first = first
        self._response = response
        self._asked = asked

    def blocks(self, left: int) -> Iterator[bytes]:
        """Up to `left` bytes, each block as soon as it is here: what waits in a buffer is lost with the process."""
        while left > 0:
            try:
                block = self._response.read1(min(BLOCK, left))
            except (OSError, http.client.HTTPException) as error:
                raise translate(error, self._asked) from error
            if not block:
                raise cut(self._asked, f"the connection was cut {left} bytes too early")
            left -= len(block)
            yield block

    def close(self) -> None:
        self._response.close()


class HubClient:
    """Two questions to a hub: what is in a revision, and bytes of one file of it."""

    def __init__(self, *, endpoint: str, token: str | None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._opener = urllib.request.build_opener(_Redirects())

    def listing(self, repo_id: str, revision: str) -> Listing:
        """One request: the commit, and each file with its size and hash."""
        asked = self._asked(f"Reading revision {revision} of {repo_id}", repo_id, revision)
        path = f"/api/models/{repo_id}/revision/{quote(revision, safe='')}?blobs=true"
        response = self._open(path, {}, asked)
        try:
            body = response.read(MOST_LISTING)
            if response.length:
                raise cut(asked, f"the connection was cut {response.length} bytes too early")
            listing = _listing(body)
        except (OSError, http.client.HTTPException) as error:
            raise translate(error, asked) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cause = "the answer lacks sizes or hashes, or they are none. Check that endpoint is a model hub."
            raise HubError(kind="server", message=f"{asked.failed}: {cause}") from error
        finally:
            response.close()
        if COMMIT.fullmatch(revision) and listing.commit != revision:
            cause = f"it answers with commit {listing.commit}. Check that endpoint is a model hub."
            raise HubError(kind="server", message=f"{asked.failed}: {cause}")
        return listing

    def open(self, repo_id: str, commit: str, file: ModelFile, first: int, last: int) -> Stream:
        """The bytes from `first` to `last`, or from 0 on if the hub does not know ranges."""
        asked = self._asked(f"Downloading {file.path} of {repo_id}", repo_id, commit)
        whole = (first, last) == (0, file.size - 1)
        headers = {} if whole else {"Range": f"bytes={first}-{last}"}
        response = self._open(f"/{repo_id}/resolve/{commit}/{quote(file.path)}", headers, asked)
        start, size = _extent(response)
        if size not in (None, file.size) or start not in (0, first):
            response.close()
            cause = f"it is to have {file.size} bytes and the answer speaks of {size}"
            way_out = "Check the endpoint: a proxy that answers with a page of its own does this."
            raise HubError(kind="integrity", message=f"{asked.failed}: {cause}. {way_out}")
        return Stream(response, start, asked)

    def _asked(self, tried: str, repo_id: str, revision: str) -> Asked:
        return Asked(tried, repo_id=repo_id, revision=revision, endpoint=self._endpoint, token=bool(self._token))

    def _open(self, path: str, headers: dict[str, str], asked: Asked) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._endpoint + path, headers={"User-Agent": "llmops.cluster", **headers})
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            return t.cast(http.client.HTTPResponse, self._opener.open(request, timeout=TIMEOUT))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise translate(error, asked) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Hubs send clients on to where the files lie: with a signed address, so the token stays behind."""

    def redirect_request(
        self, req: urllib.request.Request, fp: t.Any, code: int, msg: str, headers: t.Any, newurl: str
    ) -> urllib.request.Request | None:
        target = urljoin(req.full_url, newurl)
        if urlsplit(target).scheme not in ("https", urlsplit(req.full_url).scheme):
            raise http.client.HTTPException("redirected to a connection that is less safe")
        request = super().redirect_request(req, fp, code, msg, headers, target)
        if request is not None and _origin(target) != _origin(req.full_url):
            request.remove_header("Authorization")
        return request


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """First byte of the body, and size of the whole file as far as it is told."""
    if response.status == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range") or "")
        return (int(match[1]), int(match[2])) if match else (-1, None)
    length = response.headers.get("Content-Length") or ""
    return 0, int(length) if length.isdecimal() else None


def _listing(body: bytes) -> Listing:
    """What an answer says. Its names become paths here, so they are believed only if they are what they should be."""
    value = json.loads(body)
    return Listing(
        commit=_match(COMMIT, value["sha"]), files=tuple(_model_file(sibling) for sibling in value["siblings"])
    )


def _model_file(sibling: dict[str, t.Any]) -> ModelFile:
    path, size, lfs = sibling["rfilename"], sibling["size"], sibling.get("lfs")
    if not safe_path(path) or not isinstance(size, int) or size < 0:
        raise ValueError("no file")
    sha256 = _match(SHA256, lfs["sha256"]) if lfs else None
    return ModelFile(path=path, size=size, oid=_match(COMMIT, sibling["blobId"]), sha256=sha256)


def _match(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError("no hash")
    return value
