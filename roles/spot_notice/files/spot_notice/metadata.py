# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service, version 2."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

_TOKEN_LIVES = 21600
_TOO_LATE = 401
_NOTHING = 404


class MetadataError(Exception):
    """No answer, or none that could be used."""


class Metadata:
    """Asks it, with a token that is renewed when it is wanted."""

    def __init__(self, url: str, timeout: float = 2.0) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout
        # Never through a proxy: it would be asked about another machine.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self._token = ""

    def get(self, path: str) -> str | None:
        """A document below /latest/meta-data; None when there is none now."""
        if not self._token:
            self._renew()
        status, text = self._ask(path)
        if status == _TOO_LATE:
            self._renew()
            status, text = self._ask(path)
        if status == _NOTHING:
            return None
        if status != http.client.OK:
            raise MetadataError(f"{self._url} says {status} to {path}")
        return text

    def _renew(self) -> None:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_LIVES)}
        request = urllib.request.Request(f"{self._url}/latest/api/token", method="PUT", headers=headers)
        status, self._token = self._send(request)
        if status != http.client.OK:
            self._token = ""
            raise MetadataError(f"{self._url} says {status} to the request of a token")

    def _ask(self, path: str) -> tuple[int, str]:
        headers = {"X-aws-ec2-metadata-token": self._token}
        return self._send(urllib.request.Request(f"{self._url}/latest/meta-data/{path}", headers=headers))

    def _send(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self._open(request, timeout=self._timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code, ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MetadataError(f"{self._url} does not answer: {error}") from error
