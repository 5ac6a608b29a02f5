"""A fake of EC2's instance metadata service, version 2 alone: serves the files of a folder, to whoever has a token.

A program of its own too (python3 fake_imds.py PORT FOLDER), for a host of the lab has nothing but Python.
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "the-token-of-the-fake"
ROOT = "/latest/meta-data/"


class FakeImds(ThreadingHTTPServer):
    """Each path below /latest/meta-data/ is a file; none is 404, as of what EC2 has nothing to say."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0, address: str = "127.0.0.1") -> None:
        super().__init__((address, port), _Handler)
        self.folder = folder
        # What paths with a slash at the end say.
        self.indexes: dict[str, str] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def __enter__(self) -> FakeImds:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeImds

    def do_PUT(self) -> None:  # noqa: N802
        lives = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        self._say(200, TOKEN) if self.path == "/latest/api/token" and lives.isdigit() else self._say(400, "")

    def do_GET(self) -> None:  # noqa: N802
        self.server.asked.append(self.path)
        path = self.path.removeprefix(ROOT)
        file = self.server.folder / path
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._say(401, "")
        elif path in self.server.indexes:
            self._say(200, self.server.indexes[path])
        elif self.path.startswith(ROOT) and ".." not in self.path and file.is_file():
            self._say(200, file.read_text())
        else:
            self._say(404, "")

    def _say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a daemon asks every second."""


if __name__ == "__main__":
    FakeImds(Path(sys.argv[2]), int(sys.argv[1])).serve_forever()
