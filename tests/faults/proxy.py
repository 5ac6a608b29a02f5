"""A small TCP proxy in front of slurmctld that knows one thing of Slurm's protocol: where the type of a message stands.

proxy.py PORT MODE TYPE TIMES: the first TIMES connections that carry a message of TYPE (0: any) are disturbed.
  drop      the controller works, its answer never comes: the connection is closed
  truncate  half of the answer comes
  hold      the answer is kept back for as long as the client waits
  refuse    the request never reaches the controller
  delay     the request reaches the controller 12 seconds late, after the client gave up
"""

from __future__ import annotations

import socket
import sys
import threading
import time

CONTROLLER = ("127.0.0.1", 6817)
HOLD_SECONDS = 30
DELAY_SECONDS = 12


class Proxy:
    def __init__(self, mode: str, message_type: int, times: int) -> None:
        self.mode, self.message_type, self.times = mode, message_type, times
        self.lock = threading.Lock()

    def _disturbs(self, request: bytes) -> bool:
        # length (4), protocol version (2), flags (2), type (2): all big-endian
        found = int.from_bytes(request[8:10], "big")
        with self.lock:
            hit = self.times > 0 and self.message_type in (0, found)
            self.times -= hit
        print(f"type {found} {self.mode if hit else 'goes through'}", flush=True)
        return hit

    def serve(self, client: socket.socket) -> None:
        with client:
            request = _message(client)
            mode = self.mode if self._disturbs(request) else ""
            if mode == "refuse":
                return
            if mode == "delay":
                client.close()
                time.sleep(DELAY_SECONDS)
            with socket.create_connection(CONTROLLER, timeout=60) as controller:
                controller.sendall(request)
                answer = _message(controller)
            if mode == "hold":
                time.sleep(HOLD_SECONDS)
            if mode == "truncate":
                client.sendall(answer[: len(answer) // 2])
            elif not mode:
                client.sendall(answer)


def _message(source: socket.socket) -> bytes:
    """One message with its length in front."""
    source.settimeout(60)
    head = _exactly(source, 4)
    return head + _exactly(source, int.from_bytes(head, "big"))


def _exactly(source: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        piece = source.recv(size - len(got))
        if not piece:
            break
        got += piece
    return got


def main() -> None:
    port, mode, message_type, times = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    proxy = Proxy(mode, message_type, times)
    with socket.create_server(("0.0.0.0", port), reuse_port=False) as server:
        while True:
            client, _address = server.accept()
            threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
