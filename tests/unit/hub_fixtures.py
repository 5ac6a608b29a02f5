# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small cache to serve and a server to serve it, for every test that needs a hub."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._hub import server as hub_server
from ansible_collections.llmops.cluster.plugins.module_utils._hub.server import HubHandler, HubServer

MAIN = "1" * 40
OLD = "0" * 40
REPO = "org/tiny"
WEIGHTS = bytes(range(256)) * 8192
FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}\n',
    "model.safetensors": WEIGHTS,
    "notes/readme.txt": b"hello\n",
    "pytorch_model.bin": b"pickled" * 100,
}


def etag_of(path: str, content: bytes) -> str:
    if path.endswith((".safetensors", ".bin")):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def write_repo(root: Path, repo: str, commit: str, files: dict[str, bytes], refs: tuple[str, ...] = ()) -> Path:
    folder = root / ("models--" + repo.replace("/", "--"))
    for path, content in files.items():
        blob = folder / "blobs" / etag_of(path, content)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = folder / "snapshots" / commit / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    for ref in refs:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return folder


class Hub:
    """A running server and what it logged."""

    def __init__(self, server: HubServer, log: io.StringIO) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self._log = log

    @property
    def requests(self) -> list[dict[str, t.Any]]:
        # A client has its last byte a moment before the server has written its line.
        while self.server.idle_seconds() == 0.0:
            time.sleep(0.001)
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def asked_for(self, part: str) -> int:
        """Requests whose path has this in it."""
        return sum(part in entry["path"] for entry in self.requests)

    def bytes_of_files(self) -> int:
        return sum(entry["bytes"] for entry in self.requests if "/resolve/" in entry["path"] and entry["status"] < 300)


@contextlib.contextmanager
def running_hub(root: Path, handler: type[HubHandler] = HubHandler, **options: t.Any) -> t.Iterator[Hub]:
    log = io.StringIO()
    with HubServer(("127.0.0.1", 0), root, access_log=log, handler=handler, **options) as server:
        # A short poll, or each test would wait half a second for the server to end.
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield Hub(server, log)
        finally:
            server.shutdown()
            thread.join()


class FaultInjectingHandler(HubHandler):
    """For tests only: a hub that misbehaves. Make a subclass with `inject` or `faulty`."""

    def inject(self) -> bool:
        """Called first for each request. Raise a refusal, or answer and return True, or leave it to the hub."""
        return False

    def route(self) -> None:
        if not self.inject():
            super().route()

    def refuse(self, status: int, code: str | None = None, **headers: str) -> None:
        """A refusal with headers of our choice."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._send_json({}, status, ({"X-Error-Code": code} if code else {}) | named)

    def answer(self, body: bytes, length: int | None = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._start(200, {"Content-Length": str(len(body) if length is None else length)} | named)
        self._write(body)


def faulty(inject: t.Callable[[FaultInjectingHandler], bool]) -> type[FaultInjectingHandler]:
    return type("Faulty", (FaultInjectingHandler,), {"inject": inject})


def cutting(every: int, times: int = 10**9) -> type[FaultInjectingHandler]:
    """A hub whose connections break after `every` bytes of a body, so many times."""

    class Cutting(FaultInjectingHandler):
        left = times

        def stream(self, source: t.BinaryIO, left: int) -> None:
            if left <= every or Cutting.left == 0:
                super().stream(source, left)
                return
            Cutting.left -= 1
            super().stream(source, every)
            self.close_connection = True

    return Cutting


class Throttled(FaultInjectingHandler):
    """A hub at the end of a thin line. `sent` counts over all of its connections."""

    bytes_per_second = 12 * 1024 * 1024
    block = 16 * 1024
    sent = 0

    def stream(self, source: t.BinaryIO, left: int) -> None:
        while left > 0 and (block := source.read(min(self.block, left))):
            time.sleep(len(block) / self.bytes_per_second)
            self._write(block)
            type(self).sent += len(block)
            left -= len(block)


class Metered(FaultInjectingHandler):
    """A hub that gives `limit` bytes over all of its connections, and waits there until there may be more."""

    limit = 0
    sent = 0
    block = 16 * 1024
    _counting = threading.Lock()

    def stream(self, source: t.BinaryIO, left: int) -> None:
        while left > 0:
            size = self._allowed(min(self.block, left))
            self._write(source.read(size))
            left -= size

    def _allowed(self, wish: int) -> int:
        while True:
            with Metered._counting:
                size = min(wish, Metered.limit - Metered.sent)
                # After the limit is read: whoever raised it had seen the process before this one end.
                self._look_for_the_client()
                if size > 0:
                    Metered.sent += size
                    return size
            time.sleep(0.001)

    def _look_for_the_client(self) -> None:
        """The first bytes that are sent to a process that is gone would pass for sent."""
        readable = select.select([self.connection], [], [], 0)[0]
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError


def spawn(
    code: str,
    *arguments: str,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    **env: str,
) -> subprocess.Popen[str]:
    """Python with this collection and an environment of its own, running `code`."""
    # .../ansible_collections/llmops/cluster/plugins/module_utils/_hub/server.py
    root = Path(t.cast(str, hub_server.__file__)).absolute().parents[6]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(root), *sys.path]),
        "ANSIBLE_COLLECTIONS_PATH": str(root),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment | env,
        text=True,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )
