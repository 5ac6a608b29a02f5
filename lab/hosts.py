"""The hosts of a lab: network, containers, SSH."""

from __future__ import annotations

import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

from . import image, machine, network, podman
from .cloud import GATEWAY_OCTET
from .errors import LabError
from .settings import ADMIN, HUB_OCTET, HUB_PORT, Host, Lab, cache_dir

BOOT_SECONDS = 60
KEPT_BUILDS = 4
KEPT_SECONDS = 24 * 3600


def up(lab: Lab) -> None:
    """Make what is missing of the lab's hosts and start what is stopped. Does nothing when all is there."""
    _prune_artifacts()
    network.ensure(lab)
    write_facts(lab)
    _forget_strangers(lab)
    states = podman.containers(lab.container(""))
    for host in lab.hosts:
        _container(lab, host, states.get(lab.container(host.name)))
    for host in lab.hosts:
        _wait_for_ssh(lab, host)
        _settle(lab, host)
    _write_ssh_config(lab)


def bare(lab: Lab, host: Host) -> None:
    """One host with nothing on it, in the place of the one that was there; the others are left as they are."""
    podman.remove(lab.container(host.name))
    _container(lab, host, None)
    # Who asks for another's hardware address tells all its own: else they send to its predecessor's for a minute.
    podman.exec_in(lab.container(host.name), ["ping", "-c1", "-W1", lab.address(GATEWAY_OCTET)], check=False)
    _wait_for_ssh(lab, host)
    _settle(lab, host)


def _prune_artifacts() -> None:
    """Keep the newest builds of a version: each change of a build's inputs leaves one more, up to a GiB each.

    As many as labs of one test run use (two releases of Debian, and those of other settings), and whatever is new: a
    lab that is up beside this one may still hand it to a host.
    """
    builds = sorted((cache_dir() / "artifacts").glob("*.tar.zst"), key=lambda path: path.stat().st_mtime, reverse=True)
    kept: Counter[str] = Counter()
    for build in builds:
        name = build.name.rsplit("-", 1)[0]
        kept[name] += 1
        if kept[name] > KEPT_BUILDS and time.time() - build.stat().st_mtime > KEPT_SECONDS:
            build.unlink()


def write_facts(lab: Lab) -> None:
    """What inventory/lab reads. Written each time: this machine's pip may have been told otherwise since."""
    # A local folder with wheels stands in for the index of CPU builds of torch.
    torch_index = "" if machine.pip_settings().get("find-links") else "https://download.pytorch.org/whl/cpu"
    lab.write_facts(
        hub_url=f"http://{lab.address(HUB_OCTET)}:{HUB_PORT}", ssh_config=str(lab.ssh_config), torch_index=torch_index
    )


def _forget_strangers(lab: Lab) -> None:
    """Remove containers of this lab that its inventory no longer lists, and those whose state nobody can repair."""
    known = {lab.container(host.name) for host in lab.hosts} | {lab.container("hub")}
    for name, state in podman.containers(lab.container("")).items():
        if name not in known or state not in {"running", "exited", "created", podman.DEAD}:
            podman.remove(name)


def _container(lab: Lab, host: Host, state: str | None) -> None:
    name = lab.container(host.name)
    if state == "running":
        return
    if state is not None:
        if state == podman.DEAD:
            podman.bury(name)
        # After a kill or a reboot the old network namespace may be gone: start, or make it anew.
        if podman.run("start", name, check=False).returncode == 0:
            return
        podman.remove(name)
    home = lab.state / "shared-home"
    home.mkdir(exist_ok=True)
    mounts = [f"{home}:/home/vllm"]
    if host.shared:
        shared = lab.state / "shared"
        shared.mkdir(exist_ok=True)
        mounts.append(f"{shared}:{host.shared}")
    if host.artifact_cache:
        artifacts = cache_dir() / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        mounts.append(f"{artifacts}:/var/cache/llmops")
    mounts += [f"{folder}:{folder}:ro" for folder in _local_folders(machine.pip_settings())]
    podman.run(
        *("run", "--detach", "--name", name, "--hostname", host.name, "--network-alias", host.name),
        *network.place(lab, host.octet),
        *("--systemd=always", "--privileged", "--shm-size", "1g"),
        *(word for mount in mounts for word in ("--volume", mount)),
        image.tag(host.suite),
    )


def _local_folders(settings: dict[str, list[str]]) -> list[str]:
    """Folders of packages that pip is told of; a folder inside another is mounted with it."""
    words = [word.removeprefix("file://") for values in settings.values() for word in values]
    folders = {Path(word) for word in words if word.startswith("/") and Path(word).is_dir()}
    # An index page links to ../files, so an index is mounted with its parent.
    roots = {folder.parent if folder.name == "simple" else folder for folder in folders}
    return sorted(str(folder) for folder in roots)


def _wait_for_ssh(lab: Lab, host: Host) -> None:
    address = lab.address(host.octet)
    if ssh_answers(address):
        return
    # On a host that is up somebody may have stopped it.
    podman.run("exec", lab.container(host.name), "systemctl", "start", "--no-block", "ssh", check=False)
    deadline = time.monotonic() + BOOT_SECONDS
    while not ssh_answers(address):
        if time.monotonic() > deadline:
            log = podman.run("exec", lab.container(host.name), "journalctl", "-n", "20", check=False).stdout
            raise LabError(
                f"{host.name} ({address}) gave no SSH for {BOOT_SECONDS} s, though its service was started. "
                f"`make demo-down`, then `make demo`, makes it anew. Its journal:\n{log}"
            )
        time.sleep(0.2)


def ssh_answers(address: str, port: int = 22, timeout: float = 2) -> bool:
    """Whether sshd speaks: a forwarded port takes a connection before the host behind it does."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _ssh_key(lab: Lab) -> Path:
    key = lab.state / "id_ed25519"
    if not key.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"llmops-{lab.name}", "-f", str(key)], check=True
        )
    return key


def _settle(lab: Lab, host: Host) -> None:
    """Give a host what it cannot inherit: the lab's key, its GPU device files, where this machine finds packages."""
    public = _ssh_key(lab).with_suffix(".pub").read_text()
    gpus = "".join(f"c /dev/nvidia{index} 0666 root root - 195:{index}\n" for index in range(host.gpus))
    pip = machine.pip_settings()
    conf = "[global]\n" + "".join(f"{option} = {' '.join(values)}\n" for option, values in pip.items())
    uv = uv_toml(pip)
    script = f"""set -e
install -d -m 700 -o {ADMIN} -g {ADMIN} /home/{ADMIN}/.ssh
printf %s '{public}' | install -m 600 -o {ADMIN} -g {ADMIN} /dev/stdin /home/{ADMIN}/.ssh/authorized_keys
printf %s '{gpus}' > /etc/tmpfiles.d/lab-gpus.conf
printf %s '{conf}' > /etc/pip.conf
install -d /etc/uv && printf %s '{uv}' > /etc/uv/uv.toml
systemd-tmpfiles --create /etc/tmpfiles.d/lab-gpus.conf
"""
    podman.exec_in(lab.container(host.name), ["bash", "-s"], stdin=script)


def uv_toml(pip: dict[str, list[str]]) -> str:
    """pip's settings in uv's words; uv does not read pip's."""
    quoted = {option: ", ".join(f'"{value}"' for value in values) for option, values in pip.items()}
    lines = [f"find-links = [{quoted['find-links']}]"] if "find-links" in quoted else []
    if "index-url" in quoted:
        lines.append(f"index-url = {quoted['index-url']}")
    return "".join(f"{line}\n" for line in lines)


def _write_ssh_config(lab: Lab) -> None:
    """Host keys come from the hosts themselves, over podman: SSH then checks them like anywhere else."""
    known = lab.state / "known_hosts"
    blocks, keys = [], []
    for host in lab.hosts:
        address = lab.address(host.octet)
        public = podman.exec_in(lab.container(host.name), ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).split()
        keys.append(f"{host.name},{address} {public[0]} {public[1]}\n")
        blocks.append(
            f"Host {host.name}\n  HostName {address}\n  User {ADMIN}\n  IdentityFile {_ssh_key(lab)}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n"
        )
    known.write_text("".join(keys))
    lab.ssh_config.write_text("".join(blocks))


def down(lab: Lab) -> None:
    """Remove all containers and the network of this lab."""
    for name in podman.containers(lab.container("")):
        podman.remove(name)
    network.remove(lab)
