"""What makes an emulated host itself, as a tarball that the host unpacks before it starts anything: its name, its SSH
keys, its GPU device files, where this machine finds packages.

The host's key is made here, so that SSH checks it from the first connection on.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from . import machine
from .hosts import uv_toml
from .settings import ADMIN, Host, Lab
from .vm_image import ADDRESS

_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
_ADMIN_HOME = f"home/{ADMIN}/.ssh"


def ssh_key(lab: Lab, name: str = "id_ed25519") -> Path:
    """A key of this lab, made when it is first asked for."""
    key = lab.state / name
    if not key.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"llmops-{lab.name}", "-f", str(key)]
        subprocess.run(argv, check=True)
    return key


def write(lab: Lab, host: Host, path: Path) -> None:
    """The tarball of a host."""
    key, own = ssh_key(lab), ssh_key(lab, f"{host.name}_host_key")
    pip = machine.pip_settings()
    gpus = "".join(f"c /dev/nvidia{index} 0666 root root - 195:{index}\n" for index in range(host.gpus))
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{ADDRESS} {host.name}\n",
        _HOST_KEY: own.read_text(),
        f"{_HOST_KEY}.pub": own.with_suffix(".pub").read_text(),
        f"{_ADMIN_HOME}/authorized_keys": key.with_suffix(".pub").read_text(),
        "etc/tmpfiles.d/lab-gpus.conf": gpus,
        "etc/pip.conf": "[global]\n" + "".join(f"{option} = {' '.join(words)}\n" for option, words in pip.items()),
        "etc/uv/uv.toml": uv_toml(pip),
    }
    # The host's private key is in it.
    path.touch(mode=0o600)
    with tarfile.open(path, "w") as seed:
        folder = _owned(tarfile.TarInfo(_ADMIN_HOME))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        seed.addfile(folder)
        for name, text in files.items():
            content = text.encode()
            entry = _owned(tarfile.TarInfo(name))
            entry.size, entry.mode = len(content), 0o600 if name == _HOST_KEY else 0o644
            seed.addfile(entry, io.BytesIO(content))


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Given to its user by name: numbers are the host's own."""
    entry.uname = entry.gname = ADMIN if entry.name.startswith(_ADMIN_HOME) else "root"
    return entry
