"""A real Slurm starts and stops instances of an emulated EC2, through the roles and the distribution's SDK.

The tests follow each other: each begins where the one before ended.
"""

from __future__ import annotations

import pytest

from tests.aws.driver import CLUSTER, refusal, tags_of
from tests.integration.aws_elastic.conftest import Ec2Lab
from tests.integration.spot_notice.conftest import until

# A lab of its own.
pytestmark = pytest.mark.slow

DRIVER = "/usr/local/libexec/llmops/ec2-driver"


def test_a_second_run_changes_nothing(ec2_lab: Ec2Lab) -> None:
    done = ec2_lab.site()
    assert (done.rc, done.changed) == (0, 0), done.output[-3000:]


def test_the_sdk_is_the_distributions(ec2_lab: Ec2Lab) -> None:
    where = ec2_lab.run("ctl", "/usr/bin/python3 -I -c 'import boto3; print(boto3.__file__)'")
    assert where.startswith("/usr/lib/python3/dist-packages/")


def test_slurm_starts_instances_for_a_job(ec2_lab: Ec2Lab) -> None:
    ec2_lab.run("ctl", "cd /tmp && sbatch -N2 -w ec1,ec2 --mem=10M --output=/dev/null --wrap='sleep 60'", user="admin")

    until("two instances run", lambda: set(ec2_lab.account.by_node("running")) == {"ec1", "ec2"})

    for one in ec2_lab.account.there("running"):
        tags = tags_of(one)
        assert tags["Name"] == tags["llmops-elastic"]
        assert tags["llmops-cluster"] == CLUSTER
        node = ec2_lab.node(tags["Name"])
        assert "POWERING_UP" in node["State"]
        assert node["NodeAddr"] == one["PrivateIpAddress"]


def test_slurm_stops_what_it_started(ec2_lab: Ec2Lab) -> None:
    before = ec2_lab.account.by_node()
    ec2_lab.run("ctl", "scancel --user=admin")
    ec2_lab.power("down_force", "ec1", "ec2")

    until("both are stopped", lambda: ec2_lab.account.by_node("stopped") == before)

    until("they are back in the pool", lambda: "POWERED_DOWN" in ec2_lab.node("ec1")["State"])
    ec2_lab.power("up", "ec1")
    until("the same instance runs", lambda: ec2_lab.account.by_node("running") == {"ec1": before["ec1"]})
    ec2_lab.power("down_force", "ec1")
    until("it is stopped", lambda: ec2_lab.account.by_node("stopped") == before)


def test_a_spot_instance_ends_with_its_use(ec2_lab: Ec2Lab) -> None:
    ec2_lab.power("up", "ec3")
    until("it runs", lambda: "ec3" in ec2_lab.account.by_node("running"))
    ec2_lab.power("down_force", "ec3")

    until("it is terminated", lambda: "ec3" in ec2_lab.account.by_node("terminated"))
    until("it is back in the pool", lambda: "POWERED_DOWN" in ec2_lab.node("ec3")["State"])


def test_no_capacity_is_in_the_reason_and_nothing_is_left(ec2_lab: Ec2Lab) -> None:
    ec2_lab.account.proxy.arm(refusal("RunInstances", "InsufficientInstanceCapacity", times=99))
    ec2_lab.power("up", "ec3")

    until("the node says so", lambda: "elastic: capacity: " in ec2_lab.node("ec3")["Reason"])

    assert "InsufficientInstanceCapacity" in ec2_lab.run("ctl", "sinfo -R --format=%200E")
    assert "ec3" not in ec2_lab.account.by_node()
    ec2_lab.account.proxy.arm()


def test_the_sweep_ends_an_orphan_and_nobody_elses(ec2_lab: Ec2Lab) -> None:
    account = ec2_lab.account
    orphan = account.foreign({"llmops-cluster": CLUSTER, "llmops-elastic": "ec9"})
    others = account.foreign({"llmops-cluster": CLUSTER, "llmops-role": "controller"})

    ec2_lab.run("ctl", "/usr/local/sbin/llmops-elastic sweep")

    assert account.by_node("stopped")["ec9"] == [orphan]
    assert others in account.by_node("running")[""]
    account.ec2.terminate_instances(InstanceIds=[orphan, others])


def test_a_lack_of_credentials_is_said_in_words(ec2_lab: Ec2Lab) -> None:
    request = (
        '{"version": 1, "cluster": "lab", "settings": {"region": "us-east-1", "metadata_url": "http://127.0.0.1:9"}}'
    )
    said = ec2_lab.run("ctl", f"echo '{request}' | runuser -u slurm -- {DRIVER} list 2>&1; echo status $?")
    assert "list: DescribeInstances: NoCredentialsError" in said
    assert "status 11" in said
