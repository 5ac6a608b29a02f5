"""Instances named like a host of a lab are that host: its container, its addresses, its SSH host keys.

The container is made when the instance is launched and removed when it is terminated. What cloud-init would do with
the key pair is done here: the image's user may log in with it, and with it alone. User data is not run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.ec2.models.instances import Instance

from lab import hosts, hub, image, network, podman
from lab.cloud import GATEWAY_OCTET
from lab.lock import only_one
from lab.settings import Host, Lab, load

from . import amis
from .fidelity.account import wrap
from .fidelity.console import KINDS, use_keys_of
from .fidelity.launch import after_launch
from .proxy import Proxy

STOP_SECONDS = 5


class LabHosts:
    """Which host of the lab which instance is. One process, one lab; requests come in threads."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.hosts = {host.name: host for host in lab.hosts}
        self.names: dict[str, str] = {}
        self._lock = threading.Lock()

    def host(self, instance: Any) -> Host | None:
        return self.hosts.get(self.names.get(instance.id, ""))

    def container(self, host: Host) -> str:
        return self.lab.container(host.name)

    def launched(self, instances: list[Any]) -> None:
        for instance in instances:
            self._forget_lost(instance.ec2_backend)
            name = next((tag["value"] for tag in instance.get_tags() if tag["key"] == "Name"), "")
            if name in self.hosts and name not in self.names.values():
                self.names[instance.id] = name
                self._make(instance, self.hosts[name])

    def _forget_lost(self, backend: Any) -> None:
        """Instances that went with a reset of the account, of which nobody told this."""
        alive = {one.id for one in backend.all_instances()}
        self.names = {known: name for known, name in self.names.items() if known in alive}

    def _make(self, instance: Any, host: Host) -> None:
        with self._lock, only_one(self.lab):
            hosts.bare(self.lab, host)
            self._let_in(instance, host)
        address = self.lab.address(host.octet)
        _give_address(instance.nics[0], address)

    def _let_in(self, instance: Any, host: Host) -> None:
        """The image's user with the key pair's key; the lab's own key is taken away, so that nothing else lets in."""
        backend = instance.ec2_backend
        found = backend.describe_images(filters={"image-id": [instance.image_id]})
        user = amis.login_user(found[0].name if found else "")
        pair = backend.key_pairs.get(instance.key_name)
        key = pair.public_key.strip() if pair else ""
        script = f"""set -e
rm -f /home/*/.ssh/authorized_keys
id {user} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}
echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/90-cloud-init-users
install -d -m 700 -o {user} -g {user} /home/{user}/.ssh
printf '%s\\n' '{key}' | install -m 600 -o {user} -g {user} /dev/stdin /home/{user}/.ssh/authorized_keys
"""
        podman.exec_in(self.container(host), ["bash", "-s"], stdin=script)

    def ended(self, instance: Any) -> None:
        host = self.host(instance)
        if host:
            with self._lock, only_one(self.lab):
                podman.remove(self.container(host))
            del self.names[instance.id]

    def stopped(self, instance: Any) -> None:
        host = self.host(instance)
        if host:
            podman.run("stop", "--time", str(STOP_SECONDS), self.container(host))

    def started(self, instance: Any) -> None:
        host = self.host(instance)
        if host:
            podman.run("start", self.container(host))
            _give_address(instance.nics[0], self.lab.address(host.octet))

    def associated(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def associate_address(backend: Any, *positional: Any, **named: Any) -> Any:
            eip = original(backend, *positional, **named)
            host = self.host(eip.instance) if eip.instance else None
            if host:
                eip.public_ip = eip.instance.nics[0].public_ip = self.lab.address(host.octet)
            return eip

        return associate_address

    def keys(self, instance: Any) -> list[str] | None:
        """From the container itself; none while it has not made them."""
        host = self.host(instance)
        if not host:
            return None
        files = [f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in KINDS]
        return podman.exec_in(self.container(host), ["cat", *files], check=False).splitlines()


def _give_address(nic: Any, address: str) -> None:
    """A public one only where AWS would give one; both are the container's, for it has no other."""
    nic.private_ip_address = address
    for one in nic.private_ip_addresses:
        if one.get("Primary"):
            one["PrivateIpAddress"] = address
    if nic.public_ip:
        nic.public_ip = address


def apply(name: str, inventory: Path, port: int) -> None:
    """Make the lab's network and hub, let moto's instances be its hosts, and listen where these can reach it."""
    lab = load(name, inventory)
    podman.ensure_ready()
    image.ensure(lab)
    with only_one(lab):
        network.ensure(lab)
        hosts.write_facts(lab)
        # With the first container comes the bridge, and on it the address at which hosts reach the emulator.
        hub.up(lab)
    mapped = LabHosts(lab)
    after_launch(mapped.launched)
    use_keys_of(mapped.keys)
    # An address of a host is the container's however it is asked for.
    wrap(ElasticAddressBackend, "associate_address", mapped.associated)
    wrap(Instance, "terminate", _then(mapped.ended))
    wrap(Instance, "stop", _then(mapped.stopped))
    wrap(Instance, "start", _then(mapped.started))
    Proxy(f"http://127.0.0.1:{port}", host=lab.address(GATEWAY_OCTET), port=port).start()


def _then(act: Callable[[Any], None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def changed(self: Any) -> Any:
            previous = original(self)
            act(self)
            return previous

        return changed

    return make
