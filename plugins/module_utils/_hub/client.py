# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that talks to a hub: huggingface_hub, told everything and left to assume nothing."""

from __future__ import annotations

import importlib
import traceback
import typing as t
from collections.abc import Callable, MutableMapping
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub.errors import HubError, LibraryMissingError, translate
from ansible_collections.llmops.cluster.plugins.module_utils._hub.manifest import Listing, ModelFile

T = t.TypeVar("T")
TIMEOUT = 30.0


def prepare_environment(environ: MutableMapping[str, str], endpoint: str, scratch: Path) -> None:
    """Settle what huggingface_hub reads once, when it is imported: serving hosts have it switched to offline."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environ.pop(name, None)
    environ["HF_ENDPOINT"] = endpoint
    environ["HF_HUB_VERBOSITY"] = "error"
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    environ["HF_HUB_DOWNLOAD_TIMEOUT"] = environ["HF_HUB_ETAG_TIMEOUT"] = f"{TIMEOUT:.0f}"
    environ["HF_XET_CACHE"] = str(scratch / "xet")


def load_library(environ: MutableMapping[str, str], endpoint: str, scratch: Path) -> t.Any:
    """Import huggingface_hub in an environment of our making."""
    prepare_environment(environ, endpoint, scratch)
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise LibraryMissingError(trace=traceback.format_exc()) from error


class HubClient:
    """Two questions to a hub: what is in a revision, and one file of it."""

    def __init__(self, load: Callable[[], t.Any], *, endpoint: str, token: str | None) -> None:
        """`load` gives the module huggingface_hub; it is called only when there is something to ask."""
        self._load = load
        self._endpoint = endpoint.rstrip("/")
        # False, not None: None would look for a token that somebody once left on this host.
        self._token: str | bool = token or False

    def listing(self, repo_id: str, revision: str) -> Listing:
        """One request: the commit, and each file with its size and hash."""
        api = self._load().HfApi(endpoint=self._endpoint, token=self._token)
        tried = f"Reading revision {revision} of {repo_id}"
        info = self._ask(
            lambda: api.model_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT),
            tried=tried,
            repo_id=repo_id,
            revision=revision,
        )
        try:
            files = tuple(_model_file(sibling) for sibling in info.siblings or [])
            return Listing(commit=_text(info.sha), files=files)
        except (AttributeError, TypeError) as error:
            cause = "the answer lacks sizes or hashes. Check that endpoint is a model hub."
            raise HubError(kind="server", message=f"{tried} from {self._endpoint} failed: {cause}") from error

    def fetch(self, repo_id: str, commit: str, file: ModelFile, folder: Path) -> Path:
        """Bring one file into `folder`, by plain HTTP or Xet as the library sees fit, and say where it lies."""
        hub = self._load()
        return Path(
            self._ask(
                lambda: hub.hf_hub_download(
                    repo_id,
                    file.path,
                    revision=commit,
                    endpoint=self._endpoint,
                    token=self._token,
                    cache_dir=str(folder),
                    force_download=True,
                ),
                tried=f"Downloading {file.path} of {repo_id}",
                repo_id=repo_id,
                revision=commit,
            )
        )

    def _ask(self, request: Callable[[], T], *, tried: str, repo_id: str, revision: str) -> T:
        try:
            return request()
        # The library lets exceptions of several HTTP packages through; translate sorts them.
        except Exception as error:
            raise translate(
                error,
                tried=tried,
                repo_id=repo_id,
                revision=revision,
                endpoint=self._endpoint,
                token=bool(self._token),
            ) from error


def _model_file(sibling: t.Any) -> ModelFile:
    sha256 = _text(sibling.lfs.sha256) if sibling.lfs else None
    return ModelFile(path=_text(sibling.rfilename), size=int(sibling.size), oid=_text(sibling.blob_id), sha256=sha256)


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value
