"""Instances that are a lab's containers: from the launch to a login that trusts the console, and to nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import podman
from lab.settings import CHECKOUT, Lab, load
from tests.cluster import lab_command

from .emulator import Emulator
from .stage import Stage, make

# A lab of its own.
pytestmark = pytest.mark.slow

NAME = "awslab"
INVENTORY = CHECKOUT / "inventory/lab"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab_command("down", NAME)
    yield load(NAME, INVENTORY)
    lab_command("down", NAME)


@pytest.fixture(scope="module")
def stage(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Emulator(lab=NAME, inventory=INVENTORY) as emulator:
        yield make(emulator, tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def instances(stage: Stage) -> dict[str, str]:
    """A controller with a public address, a node without one, and one that is no host of the lab."""
    ids = {}
    for name in ("ctl", "gpu1", "gpu9"):
        request = stage.request(name)
        groups, subnet = request.pop("SecurityGroupIds"), request.pop("SubnetId")
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": groups, "AssociatePublicIpAddress": name == "ctl"}
        made = stage.ec2.run_instances(**request, NetworkInterfaces=[interface])
        ids[name] = made["Instances"][0]["InstanceId"]
    return ids


def states(lab: Lab) -> dict[str, str]:
    found = podman.containers(lab.container(""))
    return {name.rsplit(".", 1)[1]: state for name, state in found.items() if not name.endswith(".hub")}


def ssh(
    stage: Stage, folder: Path, instances: dict[str, str], to: str, command: str
) -> subprocess.CompletedProcess[str]:
    """By way of ctl, with nothing trusted but what the console of each says."""
    known = ""
    for name in ("ctl", "gpu1"):
        block = stage.console(instances[name]).split("-----BEGIN SSH HOST KEY KEYS-----")[1].split("-----END")[0]
        address = stage.instance(instances[name])["PrivateIpAddress"]
        known += "".join(f"{address} {line}\n" for line in block.split("\r\n") if line)
    (folder / "known_hosts").write_text(known)
    (folder / "config").write_text(
        f"Host *\n  User admin\n  IdentityFile {stage.key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  StrictHostKeyChecking yes\n"
    )
    through = stage.instance(instances["ctl"])["PublicIpAddress"]
    address = stage.instance(instances[to])["PrivateIpAddress"]
    argv = ["ssh", "-F", str(folder / "config"), *(["-J", through] if to != "ctl" else []), address, command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_1_an_instance_named_like_a_host_is_it(lab: Lab, stage: Stage, instances: dict[str, str]) -> None:
    assert states(lab) == {"ctl": "running", "gpu1": "running"}
    subnet = lab.facts()["subnet"].rsplit(".", 1)[0]
    ctl, gpu1, gpu9 = (stage.instance(one) for one in instances.values())
    assert (ctl["PrivateIpAddress"], ctl["PublicIpAddress"]) == (f"{subnet}.11", f"{subnet}.11")
    assert (gpu1["PrivateIpAddress"], gpu1.get("PublicIpAddress")) == (f"{subnet}.12", None)
    assert gpu9["PrivateIpAddress"].startswith("10.42.0.")


def test_2_its_console_leads_to_a_login_through_the_controller(
    stage: Stage, instances: dict[str, str], tmp_path: Path
) -> None:
    done = ssh(stage, tmp_path, instances, "gpu1", "hostname; sudo id -u")
    assert (done.returncode, done.stdout) == (0, "gpu1\n0\n"), done.stderr


def test_3_a_host_reaches_the_account(lab: Lab, stage: Stage, instances: dict[str, str], tmp_path: Path) -> None:
    port = stage.ec2.meta.endpoint_url.rsplit(":", 1)[1]
    url = f"http://{lab.facts()['subnet'].rsplit('.', 1)[0]}.1:{port}/moto-api/"
    done = ssh(
        stage, tmp_path, instances, "ctl", f"curl --silent --output /dev/null --write-out '%{{http_code}}' {url}"
    )
    assert done.stdout == "200", done.stderr


def test_4_it_stops_and_starts(lab: Lab, stage: Stage, instances: dict[str, str], tmp_path: Path) -> None:
    stage.ec2.stop_instances(InstanceIds=[instances["gpu1"]])
    assert states(lab) == {"ctl": "running", "gpu1": "exited"}
    before = stage.console(instances["ctl"])
    stage.ec2.start_instances(InstanceIds=[instances["gpu1"]])
    assert stage.console(instances["ctl"]) == before
    assert states(lab)["gpu1"] == "running"


def test_5_one_in_its_place_is_another(lab: Lab, stage: Stage, instances: dict[str, str], tmp_path: Path) -> None:
    before = stage.console(instances["gpu1"])
    stage.ec2.terminate_instances(InstanceIds=[instances["gpu1"]])
    assert states(lab) == {"ctl": "running"}
    instances["gpu1"] = stage.launch("gpu1")[0]["InstanceId"]
    assert stage.console(instances["gpu1"]) != before
    done = ssh(stage, tmp_path, instances, "gpu1", "hostname")
    assert (done.returncode, done.stdout) == (0, "gpu1\n"), done.stderr


def test_6_another_key_is_not_let_in(stage: Stage, instances: dict[str, str], lab: Lab) -> None:
    key = lab.state / "id_ed25519"
    address = stage.instance(instances["ctl"])["PublicIpAddress"]
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    argv = ["ssh", "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes", *options, f"admin@{address}", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Permission denied" in done.stderr) == (255, True), done.stderr


def test_7_nothing_is_left(lab: Lab, stage: Stage, instances: dict[str, str]) -> None:
    stage.ec2.terminate_instances(InstanceIds=list(instances.values()))
    assert states(lab) == {}
