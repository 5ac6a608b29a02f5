"""site.yml -i inventory/aws, from an empty account to a chat answer: its instances are the containers of a lab.

The inventory is the user's own but for what a lab has otherwise: a source of Slurm, a hub, a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.settings import CHECKOUT, load
from tests.cluster import Cluster, lab_command
from tests.lab.client import QUESTIONS, api_key, base_url, request

from .account import Account, TimedPlay
from .clusters import make_key
from .emulator import Emulator

NAME = "awssite"
INVENTORY = CHECKOUT / "tests/aws/inventory"
NODES = ["ctl", "gpu1", "gpu2"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    lab_command("down", NAME)
    yield Cluster(load(NAME, CHECKOUT / "inventory/lab"))
    lab_command("down", NAME)


@pytest.fixture(scope="module")
def account(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("site")
    with Emulator(lab=NAME, inventory=CHECKOUT / "inventory/lab") as emulator:
        made = Account(emulator, folder)
        made.extra_environment = {"LLMOPS_TEST_KEY": str(make_key(folder)), "LLMOPS_LAB_STATE": str(cluster.lab.state)}
        yield made


def site(account: Account, *arguments: str, playbook: Path = CHECKOUT / "site.yml") -> TimedPlay:
    done = account.play(playbook, *arguments, inventory=INVENTORY)
    print(f"took {done.seconds:.0f} s, changed={done.changed}", flush=True)
    assert done.rc == 0, done.output[-6000:]
    return done


@pytest.mark.slow
def test_1_one_command_from_an_empty_account_to_an_answer(account: Account, cluster: Cluster) -> None:
    assert account.remains() == {}
    site(account)
    known = QUESTIONS["questions"][0]
    body = {"model": "phi3", "temperature": 0, "messages": [{"role": "user", "content": known["question"]}]}
    answer = request(f"{base_url(cluster, 'phi3')}/v1/chat/completions", body, api_key(cluster))
    assert answer.body["choices"][0]["message"]["content"] == known["answer"]


@pytest.mark.slow
def test_2_the_same_command_again_changes_nothing(account: Account) -> None:
    again = site(account)
    assert again.changed == 0, again.output


@pytest.mark.slow
def test_3_a_node_that_was_terminated_comes_back_and_joins(account: Account, cluster: Cluster) -> None:
    """The one on which nothing is served: the job on the other goes on."""
    served = cluster.jobs("%i %N")
    name = "gpu2" if served[0].endswith("gpu1") else "gpu1"
    ec2 = account.client("ec2")
    found = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])["Reservations"]
    ec2.terminate_instances(InstanceIds=[found[0]["Instances"][0]["InstanceId"]])
    site(account)
    assert cluster.jobs("%i %N") == served
    state = cluster.run("ctl", f"sinfo -h -N -n {name} -o %t").strip()
    assert state == "idle", state


@pytest.mark.slow
def test_4_a_night(account: Account, cluster: Cluster) -> None:
    """What was served is served again; a person's drain stays, the other nodes are given back."""
    served = [line.split()[0] for line in cluster.jobs("%i %j") if "vllm-serve" in line]
    free = next(name for name in ("gpu1", "gpu2") if not cluster.jobs("%i", f"--nodelist={name}"))
    cluster.run("ctl", f"scontrol update nodename={free} state=drain reason='bad fan'")
    site(account, "-e", "aws_cluster_stop_jobs=drain", playbook=CHECKOUT / "playbooks/stop_infrastructure.yml")
    states = {
        one["State"]["Name"]
        for reservation in account.client("ec2").describe_instances()["Reservations"]
        for one in reservation["Instances"]
        if one["State"]["Name"] != "terminated"
    }
    assert states == {"stopped"}

    site(account)

    assert [line.split()[0] for line in cluster.jobs("%i %j %T") if line.endswith("RUNNING")] == served
    drained = cluster.run("ctl", "sinfo -h -N -t drain -o '%N %E'").split("\n")
    assert [line for line in drained if line] == [f"{free} bad fan"]
    cluster.run("ctl", f"scontrol update nodename={free} state=resume")
    assert site(account).changed == 0


@pytest.mark.slow
def test_5_destroyed(account: Account) -> None:
    site(account, "-e", "aws_cluster_destroy=llmops", playbook=CHECKOUT / "playbooks/destroy_infrastructure.yml")
    assert account.remains("llmops") == {}
