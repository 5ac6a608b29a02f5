# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve a model cache (models--org--name/{blobs,refs,snapshots}) over the Hub protocol, read only.

Two users. The lab's stand-in for the public hub, with gated repositories. And the peer: the first compute host of a
cluster serves its own cache to the others for the time of a fan-out, so that the public hub is asked once; it demands
a token for everything and ends by itself.

One file and the standard library alone, because a peer runs it as a plain script copied to the host. A file is served
only when the snapshot links it to a blob of the same repository, so the blob's name is the ETag without hashing
anything, and no path given by a client ever reaches the file system. There is no X-Xet-Hash, which keeps clients on
plain HTTP.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK = 1024 * 1024
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
# One or more path segments, none of which starts with a dot: refs/pr/1 passes, ../x does not.
SAFE_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*")
REPO = r"(?P<repo>[^/]+(?:/[^/]+)?)"
ROUTE_FILE = re.compile(rf"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
ROUTE_TREE = re.compile(rf"/api/models/{REPO}/tree/(?P<rev>[^/]+)/?")
ROUTE_REVISION = re.compile(rf"/api/models/{REPO}/revision/(?P<rev>[^/]+)")
ROUTE_INFO = re.compile(rf"/api/models/{REPO}")


@dataclass(frozen=True)
class RepoFile:
    """One file of a snapshot; `etag` is the name of its blob: sha256 for large files, git's blob id for the others."""

    path: str
    blob: Path
    size: int

    @property
    def etag(self) -> str:
        return self.blob.name

    @property
    def lfs(self) -> dict[str, t.Any] | None:
        if not SHA256.fullmatch(self.etag):
            return None
        return {"sha256": self.etag, "oid": self.etag, "size": self.size, "pointerSize": len(self._pointer())}

    @property
    def oid(self) -> str:
        """The id git knows the file by, which for a large file is that of its pointer."""
        if not SHA256.fullmatch(self.etag):
            return self.etag
        pointer = self._pointer()
        return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()

    def _pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.etag}\nsize {self.size}\n".encode()


class RefusalError(Exception):
    """A refusal in the words of the Hub: the status and the X-Error-Code that clients act on."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Store:
    """Reads a directory in cache layout. Nothing is remembered, so what is published later is served at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def repo_dir(self, repo: str) -> Path:
        folder = self.root / ("models--" + repo.replace("/", "--"))
        if not SAFE_NAME.fullmatch(repo) or not (folder / "snapshots").is_dir():
            raise RefusalError(404, "RepoNotFound", "Repository not found")
        return folder

    def commit(self, repo: str, revision: str) -> str:
        folder = self.repo_dir(repo)
        found = revision
        if not COMMIT.fullmatch(revision):
            try:
                found = (folder / "refs" / revision).read_text("utf-8").strip() if SAFE_NAME.fullmatch(revision) else ""
            except OSError:
                found = ""
        if not COMMIT.fullmatch(found) or not (folder / "snapshots" / found).is_dir():
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def files(self, repo: str, commit: str) -> dict[str, RepoFile]:
        folder = self.repo_dir(repo)
        snapshot, blobs = folder / "snapshots" / commit, folder / "blobs"
        found: dict[str, RepoFile] = {}
        for base, _dirs, names in os.walk(snapshot):
            for name in sorted(names):
                link = Path(base, name)
                if not link.is_symlink():
                    continue
                blob = Path(os.path.normpath(Path(base, os.readlink(link))))
                if blob.parent == blobs and blob.is_file():
                    path = link.relative_to(snapshot).as_posix()
                    found[path] = RepoFile(path=path, blob=blob, size=blob.stat().st_size)
        return dict(sorted(found.items()))


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte asked for, None for all of the file. A range that cannot be met raises 416."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    if match[1] == "":
        first, last = max(size - int(match[2]), 0), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first > last:
        raise RefusalError(416, None, f"The range {header} lies outside the {size} bytes of the file")
    return first, last


class HubHandler(BaseHTTPRequestHandler):
    """The protocol. `server` carries what is served and to whom."""

    protocol_version = "HTTP/1.1"
    server_version = "llmops-hub"
    sys_version = ""
    timeout = 60
    server: HubServer

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        self._sent, self._status = 0, 0
        with self.server.activity():
            try:
                self.route()
            except RefusalError as reply:
                self._refuse(reply)
            except OSError:
                # The client went away or stands still; there is nobody left to tell.
                self.close_connection = True
            finally:
                self.server.record(self, self._status, self._sent)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 - the base class names it so
        """The access log is written by `record`."""

    def route(self) -> None:
        self._authenticate()
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if match := ROUTE_FILE.fullmatch(url.path):
            self._send_file(match["repo"], unquote(match["rev"]), unquote(match["path"]))
        elif match := ROUTE_TREE.fullmatch(url.path):
            self._send_tree(match["repo"], unquote(match["rev"]))
        elif match := ROUTE_REVISION.fullmatch(url.path) or ROUTE_INFO.fullmatch(url.path):
            revision = unquote(match.groupdict().get("rev", "main"))
            self._send_info(match["repo"], revision, blobs=query.get("blobs", ["false"])[0].lower() in ("true", "1"))
        else:
            raise RefusalError(404, None, "No such route")

    def _bearer(self) -> str | None:
        scheme, _space, value = (self.headers.get("Authorization") or "").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else None

    def _authenticate(self) -> None:
        wanted = self.server.token
        if wanted is not None and not hmac.compare_digest((self._bearer() or "").encode(), wanted.encode()):
            raise RefusalError(401, None, "Invalid credentials in Authorization header")

    def _check_gate(self, repo: str) -> None:
        """A gated repository tells everybody what is in it and gives its files to those it knows."""
        gate = self.server.gated.get(repo)
        if gate is None:
            return
        given = self._bearer()
        if given is None or not hmac.compare_digest(given.encode(), gate.encode()):
            status = 401 if given is None else 403
            message = f"Access to model {repo} is restricted. You must have access to it and be authenticated."
            raise RefusalError(status, "GatedRepo", message)

    def _send_info(self, repo: str, revision: str, blobs: bool) -> None:
        commit = self.server.store.commit(repo, revision)
        siblings: list[dict[str, t.Any]] = []
        for file in self.server.store.files(repo, commit).values():
            entry: dict[str, t.Any] = {"rfilename": file.path}
            if blobs:
                entry |= {"size": file.size, "blobId": file.oid} | ({"lfs": file.lfs} if file.lfs else {})
            siblings.append(entry)
        gated = "manual" if repo in self.server.gated else False
        info = {"_id": commit[:24], "id": repo, "modelId": repo, "sha": commit, "private": False, "disabled": False}
        self._send_json(info | {"gated": gated, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings})

    def _send_tree(self, repo: str, revision: str) -> None:
        """Always the whole tree, folders left out: what the recursive listing is used for."""
        commit = self.server.store.commit(repo, revision)
        tree: list[dict[str, t.Any]] = []
        for file in self.server.store.files(repo, commit).values():
            entry: dict[str, t.Any] = {"type": "file", "path": file.path, "size": file.size, "oid": file.oid}
            tree.append(entry | ({"lfs": file.lfs} if file.lfs else {}))
        self._send_json(tree)

    def _send_file(self, repo: str, revision: str, path: str) -> None:
        commit = self.server.store.commit(repo, revision)
        self._check_gate(repo)
        file = self.server.store.files(repo, commit).get(path)
        if file is None:
            raise RefusalError(404, "EntryNotFound", "Entry not found")
        wanted = parse_range(self.headers.get("Range"), file.size)
        first, last = wanted or (0, file.size - 1)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(last - first + 1),
            "ETag": f'"{file.etag}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
        with file.blob.open("rb") as source:
            source.seek(first)
            self._start(206 if wanted else 200, headers)
            if self.command != "HEAD":
                self.stream(source, last - first + 1)

    def stream(self, source: t.BinaryIO, left: int) -> None:
        while left > 0 and (block := source.read(min(CHUNK, left))):
            self._write(block)
            left -= len(block)
        if left:
            # Fewer bytes than promised: the connection must not be used again, or the next reply would be read as them.
            self.close_connection = True

    def _send_json(self, value: t.Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self._start(status, {"Content-Type": "application/json", "Content-Length": str(len(body))} | (headers or {}))
        if self.command != "HEAD":
            self._write(body)

    def _refuse(self, reply: RefusalError) -> None:
        headers = {"X-Error-Message": reply.message} | ({"X-Error-Code": reply.code} if reply.code else {})
        # As the public hub does: a stranger is not told which private names exist.
        status = 401 if reply.code == "RepoNotFound" and self._bearer() is None else reply.status
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        try:
            self._send_json({"error": reply.message}, status, headers)
        except OSError:
            self.close_connection = True

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            # A name from the request may be echoed in a message; a line break in it must not make a header.
            self.send_header(name, re.sub(r"[^\x20-\x7e]", "?", value))
        self.end_headers()

    def _write(self, block: bytes) -> None:
        """Send and count what the kernel took, so that the log is exact also when the client leaves half way."""
        view = memoryview(block)
        while view:
            count = self.connection.send(view)
            self._sent += count
            view = view[count:]


class HubServer(ThreadingHTTPServer):
    """What is served, to whom, and when there was last something to do."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        root: Path,
        *,
        token: str | None = None,
        gated: dict[str, str] | None = None,
        access_log: t.TextIO | None = None,
        handler: type[HubHandler] = HubHandler,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(address, handler)
        self.store = Store(root)
        self.token = token
        self.gated = gated or {}
        self._log = access_log
        self._clock = clock
        self._lock = threading.Lock()
        self._active = 0
        self._last = clock()
        self._stop = False

    @contextlib.contextmanager
    def activity(self) -> Iterator[None]:
        """While a request is served the server is not idle, however long the file."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, step: int) -> None:
        with self._lock:
            self._active += step
            self._last = self._clock()

    def idle_seconds(self) -> float:
        with self._lock:
            return 0.0 if self._active else self._clock() - self._last

    def stop(self, *_args: object) -> None:
        """Fit to be a signal handler: run_until_idle looks at it twice a second."""
        self._stop = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away between two requests is everyday life and leaves no traceback."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def record(self, request: HubHandler, status: int, sent: int) -> None:
        if self._log is None:
            return
        entry = {"time": round(time.time(), 3), "client": request.client_address[0], "method": request.command}
        line = json.dumps(entry | {"path": request.path, "status": status, "bytes": sent})
        with self._lock:
            self._log.write(line + "\n")
            self._log.flush()

    def run_until_idle(self, limit: float | None) -> None:
        """Serve until told to stop or, with a limit, until nobody asked for anything for so many seconds."""
        self.timeout = 0.5
        while not self._stop and (limit is None or self.idle_seconds() < limit):
            self.handle_request()


def parse_gated(text: str) -> dict[str, str]:
    """`{"org/name": {"token": "..."}}` as repository -> token."""
    try:
        return {str(repo): str(entry["token"]) for repo, entry in json.loads(text).items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        message = 'Reading the gated repositories failed: it must be {"org/name": {"token": "..."}}.'
        raise SystemExit(message) from error


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve a model cache over the Hub protocol, read only.")
    parser.add_argument("--root", type=Path, required=True, help="the folder that holds models--org--name")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on, 0: any (default: %(default)s)")
    parser.add_argument("--token-file", type=Path, help="demand the Bearer token in this file for everything")
    parser.add_argument("--gated", type=Path, help='gated repositories as JSON: {"org/name": {"token": "..."}}')
    parser.add_argument("--access-log", type=Path, help="append one JSON line a request: path, status, bytes")
    parser.add_argument("--idle-exit", type=float, metavar="SECONDS", help="end after so long without a request")
    args = parser.parse_args(argv)
    token = args.token_file.read_text("utf-8").strip() if args.token_file else None
    if token == "":
        parser.error(f"{args.token_file} is empty; an empty token would let everybody in")
    gated = parse_gated(args.gated.read_text("utf-8")) if args.gated else {}
    log = args.access_log.open("a", encoding="utf-8") if args.access_log else None
    with HubServer((args.bind, args.port), args.root, token=token, gated=gated, access_log=log) as server:
        signal.signal(signal.SIGTERM, server.stop)
        signal.signal(signal.SIGINT, server.stop)
        sys.stderr.write(f"serving {args.root} on http://{args.bind}:{server.server_address[1]}\n")
        server.run_until_idle(args.idle_exit)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
