"""The proxy before the emulator: what a program meets, and what AWS has done by then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .account import Account
from .faults import Fault, error_body
from .proxy import Call, Proxy, writes
from .stage import Stage, make

# As many as botocore makes by itself, without its pauses.
ATTEMPTS = 5


@pytest.fixture
def stage(account: Account, tmp_path: Path) -> Stage:
    return make(account.emulator, tmp_path)


def client(proxy: Proxy, service: str, attempts: int = 1) -> Any:
    return boto3.client(
        service,
        endpoint_url=proxy.url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


def code(call: Callable[[], Any]) -> str:
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        call()
    response = getattr(caught.value, "response", {})
    return str(response["Error"]["Code"]) if response else type(caught.value).__name__


def test_calls_are_written_down(account: Account, proxy: Proxy) -> None:
    client(proxy, "ec2").describe_vpcs()
    client(proxy, "ec2").create_vpc(CidrBlock="10.42.0.0/16")
    client(proxy, "iam").list_roles()
    client(proxy, "s3").create_bucket(Bucket="models")
    client(proxy, "s3").put_object(Bucket="models", Key="a/b", Body=b"weights")
    assert client(proxy, "s3").head_object(Bucket="models", Key="a/b")["ContentLength"] == 7
    assert client(proxy, "s3").get_object(Bucket="models", Key="a/b")["Body"].read() == b"weights"
    assert proxy.calls == [
        Call("ec2", "DescribeVpcs", writes=False),
        Call("ec2", "CreateVpc", writes=True),
        Call("iam", "ListRoles", writes=False),
        Call("s3", "PUT /models", writes=True),
        Call("s3", "PUT /models/a/b", writes=True),
        Call("s3", "HEAD /models/a/b", writes=False),
        Call("s3", "GET /models/a/b", writes=False),
    ]
    assert proxy.writes == ["CreateVpc", "PUT /models", "PUT /models/a/b"]


WRITES = {"RunInstances": True, "DescribeInstances": False, "GetRole": False, "AttachVolume": True, "AssumeRole": False}


@pytest.mark.parametrize(("action", "expected"), WRITES.items(), ids=WRITES)
def test_an_action_writes(action: str, expected: bool) -> None:
    assert writes(action) == expected


def test_a_lost_answer_is_an_act_done(account: Account, proxy: Proxy, stage: Stage) -> None:
    proxy.arm(Fault("lose_answer", action="RunInstances"))
    assert code(lambda: client(proxy, "ec2").run_instances(**stage.request("gpu1"))) == "ConnectionClosedError"
    assert account.remains()["instances"] == 1
    assert proxy.struck


def test_a_client_that_tries_again_does_not_make_two(account: Account, proxy: Proxy, stage: Stage) -> None:
    proxy.arm(Fault("lose_answer", action="RunInstances", times=2))
    client(proxy, "ec2", ATTEMPTS).run_instances(**stage.request("gpu1"))
    assert [one.fault for one in proxy.calls] == ["lose_answer", "lose_answer", ""]
    assert account.remains()["instances"] == 1


SAID = {
    "ec2 throttled": ("ec2", "describe_vpcs", "throttle", "RequestLimitExceeded"),
    "iam throttled": ("iam", "list_roles", "throttle", "Throttling"),
    "sts throttled": ("sts", "get_caller_identity", "throttle", "Throttling"),
    "s3 throttled": ("s3", "list_buckets", "throttle", "SlowDown"),
    "ssm throttled": ("ssm", "describe_parameters", "throttle", "ThrottlingException"),
    "ec2 broken": ("ec2", "describe_vpcs", "error500", "InternalError"),
    "iam broken": ("iam", "list_roles", "error500", "ServiceFailure"),
    "s3 broken": ("s3", "list_buckets", "error500", "InternalError"),
    "route53 broken": ("route53", "list_hosted_zones", "error500", "InternalFailure"),
    "ssm broken": ("ssm", "describe_parameters", "error500", "InternalServerError"),
}


@pytest.mark.parametrize(("service", "method", "kind", "expected"), SAID.values(), ids=SAID)
def test_a_fault_is_said_as_the_service_says_it(
    account: Account, proxy: Proxy, service: str, method: str, kind: Any, expected: str
) -> None:
    proxy.arm(Fault(kind))
    assert code(getattr(client(proxy, service), method)) == expected
    getattr(client(proxy, service), method)()


def test_capacity_is_refused_and_nothing_made(account: Account, proxy: Proxy, stage: Stage) -> None:
    proxy.arm(Fault("capacity", action="RunInstances", times=ATTEMPTS))
    ec2 = client(proxy, "ec2", ATTEMPTS)
    assert code(lambda: ec2.run_instances(**stage.request("gpu1"))) == "InsufficientInstanceCapacity"
    assert len(proxy.calls) == ATTEMPTS
    assert "instances" not in account.remains()


def test_an_error_of_the_tests_own(account: Account, proxy: Proxy) -> None:
    proxy.arm(Fault("refuse", action="DescribeVpcs", code="UnauthorizedOperation", message="no", status=403))
    assert code(client(proxy, "ec2").describe_vpcs) == "UnauthorizedOperation"


def call(action: str, **words: str) -> Call:
    return Call("ec2", action, writes(action), words=words)


COUNTED = {
    "third call": (Fault("error500", at=3), ["", "", "error500", ""]),
    "second write": (Fault("error500", at=2, writes=True), ["", "", "error500", ""]),
    "second of an action": (Fault("error500", at=2, action="DescribeVpcs"), ["", "", "", "error500"]),
    "none that comes": (Fault("error500", at=9), ["", "", "", ""]),
}


@pytest.mark.parametrize(("fault", "expected"), COUNTED.values(), ids=COUNTED)
def test_which_call_meets_it(fault: Fault, expected: list[str]) -> None:
    proxy = Proxy("http://127.0.0.1:1")
    proxy.arm(fault)
    for action in ("DescribeVpcs", "CreateVpc", "CreateSubnet", "DescribeVpcs"):
        proxy.note(call(action))
    assert [one.fault for one in proxy.calls] == expected


def test_repeats_are_of_the_action_that_was_struck() -> None:
    proxy = Proxy("http://127.0.0.1:1")
    proxy.arm(Fault("throttle", at=2, times=2))
    for action in ("DescribeVpcs", "CreateVpc", "DescribeVpcs", "CreateVpc", "CreateVpc"):
        proxy.note(call(action))
    assert [one.fault for one in proxy.calls] == ["", "throttle", "", "throttle", ""]


def test_a_fault_of_some_calls_of_an_action() -> None:
    proxy = Proxy("http://127.0.0.1:1")
    proxy.arm(Fault("capacity", words={"InstanceType": "g6.xlarge"}, times=9))
    proxy.add(Fault("throttle", action="RunInstances", at=2))
    for kind in ("g6.xlarge", "g5.xlarge", "g6.xlarge", "g5.xlarge"):
        proxy.note(call("RunInstances", InstanceType=kind))
    assert [one.fault for one in proxy.calls] == ["capacity", "", "capacity", "throttle"]
    assert [one["InstanceType"] for one in proxy.made("RunInstances")][:2] == ["g6.xlarge", "g5.xlarge"]


def test_each_new_call_meets_it() -> None:
    proxy = Proxy("http://127.0.0.1:1")
    proxy.arm(Fault("lose_answer", writes=True, each="call"))
    calls = [
        *(call("CreateTags", ResourceId="vpc-1"), call("DescribeVpcs"), call("CreateTags", ResourceId="vpc-1")),
        *(
            call("CreateTags", ResourceId="vpc-2"),
            call("RunInstances", ClientToken="a"),
            call("RunInstances", ClientToken="b"),
        ),
    ]
    for one in calls:
        proxy.note(one)
    assert [bool(one.fault) for one in proxy.calls] == [True, False, False, True, True, False]


def test_each_action_meets_it_for_a_run() -> None:
    proxy = Proxy("http://127.0.0.1:1")
    proxy.arm(Fault("cut", reads=True, each="action", times=9))
    for action in ("DescribeVpcs", "CreateVpc", "DescribeVpcs"):
        proxy.note(call(action))
    proxy.next_run()
    for action in ("DescribeVpcs", "DescribeSubnets"):
        proxy.note(call(action))
    assert [bool(one.fault) for one in proxy.calls] == [True, False, True, False, True]


def test_a_connection_that_is_cut_is_an_act_not_done(account: Account, proxy: Proxy, stage: Stage) -> None:
    proxy.arm(Fault("cut", action="RunInstances"))
    assert code(lambda: client(proxy, "ec2").run_instances(**stage.request("gpu1"))) == "ConnectionClosedError"
    assert "instances" not in account.remains()


def test_an_answer_may_come_late(account: Account, proxy: Proxy) -> None:
    proxy.arm(Fault("slow", seconds=0.3))
    begun = time.monotonic()
    client(proxy, "ec2").describe_vpcs()
    assert time.monotonic() - begun > 0.3
    assert proxy.calls[0].key == "testing"


def test_words_of_an_error_are_escaped() -> None:
    _, body = error_body("ec2", "InvalidParameterValue", "a < b & c")
    assert b"a &lt; b &amp; c" in body
