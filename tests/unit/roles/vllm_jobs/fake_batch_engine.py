# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake of an engine that listens on a socket file: what a prompt says is what it does.

Run as a program: `python fake_batch_engine.py LOG ... --uds SOCKET`. LOG gets a line for each prompt that was asked.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

DIES, FAILS, REFUSES, IS_SLOW = "die", "fail", "refuse", "slow"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._say(200, {})

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = wanted["prompt"]
        with Path(sys.argv[1]).open("a") as log:
            log.write(f"{prompt}\n")
        if prompt == DIES:
            os._exit(1)
        if prompt == IS_SLOW:
            time.sleep(60)
        if prompt == FAILS:
            self._say(500, {"error": {"message": "EngineCore encountered an issue."}})
        elif prompt == REFUSES:
            self._say(400, {"error": {"message": "This model's maximum context length is 256 tokens."}})
        else:
            usage = {"prompt_tokens": 2, "completion_tokens": 3}
            self._say(200, {"id": "cmpl-1", "choices": [{"text": f"to {prompt}"}], "usage": usage})

    def _say(self, status: int, body: dict[str, object]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        """Nothing: a socket file has no address to log."""


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    with Server(sys.argv[sys.argv.index("--uds") + 1], Handler) as server:
        server.serve_forever()
