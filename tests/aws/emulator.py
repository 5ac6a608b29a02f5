"""An AWS account in a process of this machine: moto's server, with folder `fidelity` on top.

    python -m tests.aws.emulator --port 5777                                    # until interrupted
    python -m tests.aws.emulator --port 5777 --lab awslab                       # instances are the lab's containers

State lies in memory and goes with the process, or with `Emulator.reset()`.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3

from lab.settings import CHECKOUT

from .remains import counts

REGION = "us-east-1"
START_SECONDS = 60
# Without the first four moto takes a wrong image, a wrong type and a missing key, and knows no managed policy.
_MOTO = {
    "MOTO_ENABLE_AMI_VALIDATION": "1",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "1",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    # Containers of a lab ask it for nothing of the kind, and a test must not find a real account.
    "AWS_EC2_METADATA_DISABLED": "true",
}


class EmulatorError(Exception):
    """The emulator did not come up."""


class Emulator:
    """A context manager: the process lives as long as the block."""

    def __init__(
        self, port: int = 0, region: str = REGION, lab: str | None = None, inventory: Path | None = None
    ) -> None:
        self.port = port or free_port()
        self.region = region
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = ["--port", str(self.port)]
        if lab:
            self._arguments += ["--lab", lab, "--inventory", str(inventory or CHECKOUT / "inventory/lab")]
        self._log = tempfile.NamedTemporaryFile(mode="w+", prefix="emulator-", suffix=".log")  # noqa: SIM115
        self._session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")
        self._clients: dict[tuple[str, str], Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Emulator:
        argv = [sys.executable, "-m", "tests.aws.emulator", *self._arguments]
        self._process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{self.url}/moto-api/data.json"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise EmulatorError(f"the emulator did not answer on {self.url}. Its log:\n{self.log()[-3000:]}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=30)

    def log(self) -> str:
        """One line a request, and the tracebacks of what moto could not do."""
        return Path(self._log.name).read_text()

    def environment(self, url: str | None = None) -> dict[str, str]:
        """For a program that shall talk to this account; `url` is that of a proxy before it."""
        return {
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A developer's own account and settings must not be found.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str, region: str | None = None) -> Any:
        """Made once: a client costs half a second."""
        wanted = (service, region or self.region)
        if wanted not in self._clients:
            self._clients[wanted] = self._session.client(service, endpoint_url=self.url, region_name=wanted[1])
        return self._clients[wanted]

    def reset(self) -> None:
        """An account in which nothing was ever made, but for what AWS makes itself."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        with urllib.request.urlopen(request, timeout=60):
            pass

    def remains(self, cluster: str | None = None) -> dict[str, int]:
        """What is left that bills or stands in the way, by kind; empty when nothing is. See remains.py."""
        return counts(self.client, cluster)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.aws.emulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lab", help="instances named like a host of this lab are its containers")
    parser.add_argument(
        "--inventory", type=Path, default=CHECKOUT / "inventory/lab", help="folder with the lab's hosts"
    )
    arguments = parser.parse_args()
    # moto reads its settings when it is imported.
    os.environ.update(_MOTO)
    from . import server

    server.run(arguments.port, arguments.lab, arguments.inventory)


if __name__ == "__main__":
    main()
