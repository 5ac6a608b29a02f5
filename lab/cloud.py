"""The lab's cloud: a small server on this machine that starts and stops the lab's elastic hosts, for the driver on ctl.

`python -m lab cloud` runs it until it is interrupted; tests run it themselves and tell it what shall go wrong.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import podman
from .settings import Lab

GATEWAY_OCTET = 1
PORT = 8099
STOP_SECONDS = 5


class Cloud:
    """The hosts that may be switched, and what shall go wrong with each.

    `faults`: host -> "capacity", "permanent", "dead" (says ok and starts nothing) or "throttled" (once).
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.token = lab.facts().get("cloud_token") or secrets.token_hex(16)
        lab.write_facts(cloud_token=self.token, cloud_url=f"http://{lab.address(GATEWAY_OCTET)}:{PORT}")
        self.hosts = {host.name: host for host in lab.hosts if host.elastic}
        self.faults: dict[str, str] = {}
        # Seconds that each start takes before the host is switched on.
        self.delay = 0.0
        self.calls: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer((lab.address(GATEWAY_OCTET), PORT), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self) -> Cloud:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Until the process is interrupted."""
        self._server.serve_forever()

    def running(self) -> list[str]:
        """Elastic hosts that are on."""
        states = podman.containers(self.lab.container(""))
        return sorted(name for name in self.hosts if states.get(self.lab.container(name)) == "running")

    def start(self, name: str) -> dict[str, str]:
        fault = self.faults.get(name)
        if fault == "throttled":
            del self.faults[name]
        if fault in ("capacity", "permanent", "throttled"):
            return {"result": fault, "message": f"the lab was told to say {fault}"}
        time.sleep(self.delay)
        if fault != "dead":
            podman.run("start", self.lab.container(name))
        address = self.lab.address(self.hosts[name].octet)
        return {"result": "ok", "instance": self.lab.container(name), "address": address, "hostname": name}

    def stop(self, name: str) -> dict[str, str]:
        podman.run("stop", "--time", str(STOP_SECONDS), self.lab.container(name))
        return {"result": "ok"}

    def answer(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        """What the driver gets; hosts that are not this lab's elastic ones do not exist here."""
        if command == "list":
            return {"instances": [self._instance(name) for name in self.running()]}
        do: Callable[[str], dict[str, str]] = {"start": self.start, "stop": self.stop}[command]
        found = {}
        for node in request["nodes"]:
            name = str(node["name"])
            self.calls.append((command, name))
            unknown = {"result": "permanent", "message": f"the lab has no elastic host {name}"}
            found[name] = do(name) if name in self.hosts else unknown
        return {"nodes": found}

    def _instance(self, name: str) -> dict[str, str]:
        address = self.lab.address(self.hosts[name].octet)
        return {"node": name, "instance": self.lab.container(name), "state": "running", "address": address}


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not secrets.compare_digest(self.headers.get("Authorization", ""), f"Bearer {cloud.token}"):
                self._send(403, {"error": "wrong token"})
                return
            command = self.path.strip("/")
            if command not in ("start", "stop", "list"):
                self._send(404, {"error": f"no command {command}"})
                return
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
            self._send(200, cloud.answer(command, request))

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: what matters is in the controller's journal."""

    return Handler
