"""The network of a lab: a bridge and a subnet of its own, and a name that no other network ever had.

podman's name server keeps its files by network name, in one folder for all storages and beyond a kill: under a name
that was used before, it would answer with another lab's addresses.
"""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from . import machine, podman
from .errors import LabError
from .settings import Lab, cache_dir, state_root

_FOLDER = "podman/networks"


def ensure(lab: Lab) -> None:
    """Make the network of a lab, or find it; `lab.json` has its subnet and id afterwards."""
    lab.state.mkdir(parents=True, exist_ok=True, mode=0o755)
    names = networks(lab)
    if len(names) == 1:
        facts = _found(names[0])
        lab.write_facts(**facts)
        if not Path("/sys/class/net", bridge(names[0])).exists():
            _restart(lab, facts["subnet"])
        return
    remove(lab)
    # Nothing of an earlier lab is of use to this one, and its records name jobs that this one numbers anew.
    for name in ("shared-home", "shared"):
        shutil.rmtree(lab.state / name, ignore_errors=True)
    subnet = machine.free_subnet(_recorded_subnets())
    # The id keeps SSH connections that outlive a lab (ControlPersist) from being taken for those of its successor.
    lab_id = secrets.token_hex(4)
    podman.run("network", "create", "--subnet", subnet, lab.network(lab_id))
    # podman numbers bridges by what one storage knows, and networks of two storages would share one. podman 4.3 has no
    # option for the name, so its file is edited before the network is first used.
    path = _file(lab.network(lab_id))
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "network_interface": f"llmops{subnet.split('.')[2]}"}, indent=2) + "\n")
    lab.write_facts(subnet=subnet, id=lab_id)


def remove(lab: Lab) -> None:
    """Remove every network of this lab; podman removes the containers on it."""
    for name in networks(lab):
        podman.run("network", "rm", "--force", name, check=False)


def networks(lab: Lab) -> list[str]:
    listed = podman.run("network", "ls", "--format", "{{.Name}}").stdout.split()
    return sorted(name for name in listed if name.startswith(lab.network("")))


def place(lab: Lab, octet: int) -> list[str]:
    """podman's options for a container of this lab with this address."""
    return ["--network", lab.network(lab.facts()["id"]), "--ip", lab.address(octet)]


def bridge(name: str) -> str:
    """The interface of a network on this machine."""
    return str(_settings(name)["network_interface"])


def _file(name: str) -> Path:
    return cache_dir() / _FOLDER / f"{name}.json"


def _settings(name: str) -> dict[str, Any]:
    return dict(json.loads(_file(name).read_text()))


def _found(name: str) -> dict[str, str]:
    """The facts that the network itself holds: `lab.json` may be lost, the lab is not."""
    return {"subnet": str(_settings(name)["subnets"][0]["subnet"]), "id": name.rsplit(".", 1)[1]}


def _restart(lab: Lab, subnet: str) -> None:
    """The bridge is made when the first container starts: those that still run on a lost one are stopped."""
    clash = machine.overlapping(subnet)
    if clash:
        raise LabError(
            f"lab {lab.name!r} has the subnet {subnet}, which this machine now uses otherwise ({', '.join(clash)}). "
            "Free it, or remove the lab with `make demo-down`."
        )
    for name in podman.containers(lab.container("")):
        podman.run("stop", "--time", "10", name, check=False)


def _recorded_subnets() -> list[str]:
    """Subnets of labs that are stopped: no route of theirs is there to see."""
    found = []
    for path in state_root().glob("*/lab.json"):
        try:
            found.append(str(json.loads(path.read_text())["subnet"]))
        except (OSError, ValueError, KeyError):
            continue
    return found
