"""The driver of elastic nodes against an emulated EC2, with a proxy between them that can fail."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3

from tests.fake_imds import FakeImds

ROOT = Path(__file__).parents[2]
# Another Python, such as one with the oldest boto3 of a supported distribution.
PYTHON = os.environ.get("LLMOPS_TEST_DRIVER_PYTHON", sys.executable)
LAUNCHER = """import sys
sys.path.insert(0, sys.argv.pop(1))
from ec2_driver.main import run
run()"""
REGION = "us-east-1"
CLUSTER = "lab"
TEMPLATE = "lab-gpu"
KEY, SECRET = "ASIAOFTHEPROFILE", "the-secret-of-the-profile"


@contextmanager
def emulated_ec2() -> Iterator[int]:
    """moto's server, with EC2's client tokens; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    argv = [sys.executable, str(Path(__file__).parent / "ec2_with_tokens.py"), "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1"}
    server = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                break
        assert server.poll() is None, "moto did not start"
        assert time.monotonic() < ends, "moto did not answer"
        time.sleep(0.2)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(20)


def forget(port: int) -> None:
    """An empty account."""
    urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST"), timeout=30
    ).close()


def give_credentials(service: FakeImds) -> None:
    """What an instance with a profile is told."""
    words = {"Code": "Success", "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "a-session"}
    role = service.folder / "iam/security-credentials/controller"
    role.parent.mkdir(parents=True)
    role.write_text(json.dumps({**words, "Expiration": "2099-01-01T00:00:00Z"}))
    # The list of roles has the address of the folder, which for a file server is another file.
    service.indexes["iam/security-credentials/"] = role.name


@dataclass
class Fault:
    """What happens to calls of an action, as often as `times` says."""

    action: str
    # lost: EC2 acts and its answer does not arrive; slow: it comes late; else the code of a refusal.
    effect: str
    times: int = 1
    # Only calls with these words.
    words: Mapping[str, str] = field(default_factory=dict)
    status: int = 400
    after: int = 0


class Proxy(ThreadingHTTPServer):
    """Between the driver and the emulator; writes down every call."""

    daemon_threads = True

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.behind = port
        self.calls: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.delay = 30.0
        self.headers: list[str] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def made(self, action: str) -> list[dict[str, str]]:
        return [one for one in self.calls if one["Action"] == action]

    def handle_error(self, *_: object) -> None:
        """A driver that is out of time does not wait for its answers."""

    def judge(self, words: dict[str, str], authorization: str) -> Fault | None:
        with self._lock:
            self.calls.append(words)
            self.headers.append(authorization)
            for fault in self.faults:
                if fault.action != words["Action"] or fault.times < 1 or not fault.words.items() <= words.items():
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        words = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        fault = self.server.judge(words, self.headers.get("Authorization", ""))
        if fault and fault.effect not in ("lost", "slow"):
            error = f"<Code>{fault.effect}</Code><Message>so the test wants it</Message>"
            whole = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>r</RequestID></Response>"
            self._say(fault.status, whole.encode())
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        behind.request("POST", "/", body, dict(self.headers.items()))
        answer = behind.getresponse()
        text = answer.read()
        behind.close()
        if fault and fault.effect == "lost":
            self.close_connection = True
            self.connection.close()
            return
        if fault:
            time.sleep(self.server.delay)
        self._say(answer.status, text)

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/xml")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The test looks at what was called."""


@dataclass(frozen=True)
class Done:
    """One call of the driver."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def nodes(self) -> dict[str, dict[str, str]]:
        assert self.status == 0, self.err
        return json.loads(self.out)["nodes"]

    @property
    def results(self) -> dict[str, str]:
        return {name: one["result"] for name, one in self.nodes.items()}

    @property
    def instances(self) -> list[dict[str, Any]]:
        assert self.status == 0, self.err
        return json.loads(self.out)["instances"]


class Bench:
    """An account with subnets and a launch template, and the driver."""

    def __init__(self, port: int, proxy: Proxy, metadata_url: str) -> None:
        self.proxy, self.metadata_url = proxy, metadata_url
        names = {"aws_access_key_id": "admin", "aws_secret_access_key": "admin", "region_name": REGION}
        self.ec2 = boto3.client("ec2", endpoint_url=f"http://127.0.0.1:{port}", **names)
        self.subnets = sorted(one["SubnetId"] for one in self.ec2.describe_subnets()["Subnets"])[:2]
        self.options: dict[str, Any] = {"launch_template": TEMPLATE, "types": ["g6.xlarge"], "subnets": self.subnets}

    def make_template(self, name: str = TEMPLATE, **more: Any) -> None:
        tags = [{"Key": key, "Value": value} for key, value in self.template_tags().items()]
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "gp3", "Encrypted": True, "VolumeSize": 50}}
        data = {
            "ImageId": "ami-12c6146b",
            "InstanceType": "g6.4xlarge",
            "MetadataOptions": {"HttpTokens": "required"},
            "BlockDeviceMappings": [disk],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            **more,
        }
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)

    @staticmethod
    def template_tags() -> dict[str, str]:
        return {"llmops-cluster": CLUSTER, "llmops-role": "compute", "llmops-group": "gpu"}

    def call(self, command: str, *names: str, token: str = "", settings: Any = None, **more: Any) -> Done:
        """Run it as llmops-elastic does. `more` is for the options of the nodes, `instances` aside."""
        ids = more.pop("instances", [])
        nodes = [
            {"name": name, "token": token or f"token of {name}", "options": {**self.options, **more}, "instances": ids}
            for name in names
        ]
        given = {"region": REGION, "endpoint_url": self.proxy.url, "metadata_url": self.metadata_url, "attempts": 3}
        request = {"version": 1, "cluster": CLUSTER, "settings": {**given, **(settings or {})}, "nodes": nodes}
        return self.run(command, json.dumps(request))

    def run(self, command: str, text: str) -> Done:
        argv = [PYTHON, "-I", "-c", LAUNCHER, str(ROOT / "roles/aws_elastic/files"), command]
        # Neither is the driver's: it must use the instance profile.
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "elses"}
        since = time.monotonic()
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=environment, timeout=300)
        assert SECRET not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - since)

    def there(self, *states: str) -> list[dict[str, Any]]:
        """The instances of the account, by default those that are not gone."""
        wanted = states or ("pending", "running", "stopping", "stopped")
        pages = self.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(wanted)}]
        )
        return [one for page in pages for group in page["Reservations"] for one in group["Instances"]]

    def by_node(self, *states: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.there(*states):
            found.setdefault(tags_of(one).get("llmops-elastic", ""), []).append(one["InstanceId"])
        return found

    def foreign(self, tags: Mapping[str, str]) -> str:
        """An instance that somebody else made."""
        words = [{"Key": key, "Value": value} for key, value in tags.items()]
        made = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            InstanceType="g6.xlarge",
            MinCount=1,
            MaxCount=1,
            ClientToken=f"foreign {sorted(tags.items())} {time.time_ns()}",
            TagSpecifications=[{"ResourceType": "instance", "Tags": words}],
        )
        return made["Instances"][0]["InstanceId"]


def tags_of(instance: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in instance.get("Tags", [])}


def actions(calls: Sequence[Mapping[str, str]]) -> list[str]:
    return [one["Action"] for one in calls]
