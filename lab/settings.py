"""Names, folders and hosts of one lab. Everything else in this package takes a `Lab` and asks it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import LabError

CHECKOUT = Path(__file__).resolve().parent.parent
HUB_OCTET = 5
HUB_PORT = 8080
# The host user that Ansible logs in as; it may use sudo, like the users of cloud images.
ADMIN = "admin"
SUITE = "bookworm"
_HOST_NAME = r"[a-z][a-z0-9-]{0,29}"


def _home(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "llmops-cluster"


def cache_dir() -> Path:
    """Slow artefacts, keyed by their inputs; kept by `make demo-down`. Override: LLMOPS_CACHE."""
    return Path(os.environ.get("LLMOPS_CACHE") or _home("XDG_CACHE_HOME", ".cache"))


def state_root() -> Path:
    """One folder a lab; removed by `make demo-down`. Override: LLMOPS_STATE."""
    return Path(os.environ.get("LLMOPS_STATE") or _home("XDG_STATE_HOME", ".local/state"))


@dataclass(frozen=True)
class Host:
    """One host of the lab, as its inventory says."""

    name: str
    octet: int
    gpus: int = 0
    # This host sees the cache folder of the machine, so what it builds outlives the lab.
    artifact_cache: bool = False
    # The Debian release that it runs.
    suite: str = SUITE
    # The lab's cloud (cloud.py) may switch it on and off.
    elastic: bool = False
    # Where it sees the folder that all hosts with this setting share, if anywhere.
    shared: str = ""


@dataclass
class Lab:
    """One lab: its name, its folders, its hosts, its subnet (chosen at the first start, then kept)."""

    name: str
    inventory: Path
    hosts: list[Host] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return state_root() / self.name

    # A dot ends the lab's name, for lab "a" must not take the hosts of lab "a-b" for its own.
    def network(self, lab_id: str) -> str:
        return f"llmops-{self.name}.{lab_id}"

    def container(self, host: str) -> str:
        return f"llmops-{self.name}.{host}"

    @property
    def facts_file(self) -> Path:
        """What the inventory must know of this lab: read by inventory/lab/group_vars/all.yml."""
        return self.state / "lab.json"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    def facts(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.facts_file.read_text()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise LabError(
                f"reading {self.facts_file} failed: {error}. Remove it; the next command writes it anew."
            ) from error

    def write_facts(self, **facts: Any) -> None:
        merged = {**self.facts(), **facts}
        temporary = self.facts_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(merged, indent=2, sort_keys=True) + "\n")
        temporary.replace(self.facts_file)

    def address(self, octet: int) -> str:
        return f"{self.facts()['subnet'].rsplit('.', 1)[0]}.{octet}"


def load(name: str, inventory: Path) -> Lab:
    """Read the hosts of a lab from `hosts.yml` of its inventory: the inventory is the only list of hosts."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise LabError(f"lab name {name!r}: allowed are 1 to 20 of a-z, 0-9 and -, beginning with a letter.")
    hosts_file = inventory / "hosts.yml"
    try:
        tree = yaml.safe_load(hosts_file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise LabError(f"reading the lab's hosts from {hosts_file} failed: {error}") from error
    try:
        lab = Lab(name=name, inventory=inventory, hosts=_hosts(tree))
    except (AttributeError, TypeError, ValueError) as error:
        raise LabError(f"{hosts_file} is no inventory of a lab: {error}. See inventory/lab/hosts.yml.") from error
    _check_hosts(lab, hosts_file)
    return lab


def _hosts(tree: dict[str, Any] | None) -> list[Host]:
    found: dict[str, Host] = {}

    def walk(group: dict[str, Any] | None, inherited: dict[str, Any]) -> None:
        group = group or {}
        variables = {**inherited, **(group.get("vars") or {})}
        for host, own in (group.get("hosts") or {}).items():
            merged = {**variables, **(own or {})}
            if "lab_octet" in merged:
                found[host] = Host(
                    name=host,
                    octet=int(merged["lab_octet"]),
                    gpus=int(merged.get("lab_gpus", 0)),
                    artifact_cache=bool(merged.get("lab_artifact_cache", False)),
                    suite=str(merged.get("lab_suite", SUITE)),
                    elastic=bool(merged.get("lab_elastic", False)),
                    shared=str(merged.get("lab_shared", "")),
                )
        for child in (group.get("children") or {}).values():
            walk(child, variables)

    walk((tree or {}).get("all"), {})
    return list(found.values())


def _check_hosts(lab: Lab, hosts_file: Path) -> None:
    octets = [host.octet for host in lab.hosts]
    unfit = [host.name for host in lab.hosts if not re.fullmatch(_HOST_NAME, host.name) or host.name == "hub"]
    if unfit:
        raise LabError(
            f"{hosts_file}: host names of a lab are 1 to 30 of a-z, 0-9 and -, beginning with a letter, and not 'hub', "
            f"which the lab has itself; found {unfit}."
        )
    if not lab.hosts:
        raise LabError(f"{hosts_file}: no host has lab_octet; every host of a lab needs one (10 to 250).")
    wrong = [host for host in lab.hosts if not 10 <= host.octet <= 250]
    if wrong or len(set(octets)) != len(octets):
        raise LabError(f"{hosts_file}: lab_octet must be a number of its own for each host, 10 to 250; found {octets}.")


def key_of(*parts: str) -> str:
    """A short key for a cached artefact: changes when any of its inputs does."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
