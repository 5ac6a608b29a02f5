# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that reads a stream from an engine. The rest of HTTP is `_vllm/client.py`."""

from __future__ import annotations

import http.client
import json
import ssl
import typing as t
from collections.abc import Iterator
from urllib.parse import urlsplit

from ansible_collections.llmops.cluster.plugins.module_utils._manager.chat import error_words
from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import FAILED, KEY, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import fault_of

LONGEST_LINE = 1024 * 1024
LONGEST_ERROR = 65536


def stream(url: str, path: str, body: dict[str, t.Any], *, key: str | None, silence: float) -> Iterator[bytes]:
    """The lines of the answer as they come. `silence`: seconds without any of them until it is given up."""
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, silence)
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    asked = False
    try:
        # A redirect is not followed: the key would go elsewhere.
        connection.request("POST", f"{parts.path.rstrip('/')}{path}", json.dumps(body).encode(), headers)
        asked = True
        response = connection.getresponse()
        if response.status != 200:
            raise _refused(url, path, response.status, response.read(LONGEST_ERROR))
        while line := response.readline(LONGEST_LINE):
            yield line
    except (OSError, http.client.HTTPException) as error:
        fault = fault_of(error, connected=asked)
        raise ManagerError(
            f"Asking {url} failed: {fault.detail}. Look at the job with `vllm-manager status`.", FAILED
        ) from error
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, silence: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=silence, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=silence)


def _refused(url: str, path: str, status: int, body: bytes) -> ManagerError:
    try:
        said = error_words(json.loads(body))
    except (ValueError, RecursionError):
        said = ""
    said = f": {said}" if said else ""
    if status in (401, 403):
        return ManagerError(
            f"Asking {url}{path} failed: it answers {status}, the API key is not the one that the server was started "
            "with. Set OPENAI_API_KEY or --api-key-file.",
            KEY,
        )
    return ManagerError(f"Asking {url}{path} failed: it answers {status}{said}.", FAILED)
