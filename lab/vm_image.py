"""The disk of an emulated host: the root file system of lab hosts, a kernel of the distribution, an initrd.

Made without loop devices or mounts on this machine, cached by what went into it, published by one rename. Nothing in it
belongs to one host: names, keys and devices come with the start (`vm_seed`).
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import image
from .errors import LabError
from .lock import one_maker
from .settings import cache_dir, key_of

DISK_GIB = 8
ADDRESS, GATEWAY, RESOLVER = "10.0.2.15", "10.0.2.2", "10.0.2.3"
PACKAGES = "initramfs-tools kmod udev"
KERNEL = "linux-image-cloud-amd64"
# What the kernel must have at hand to find its disk; all else it loads from there.
_INITRD_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_NETWORK = f"""[Match]
Name=e*
[Network]
Address={ADDRESS}/24
Gateway={GATEWAY}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
# The third disk is a bare tarball. Unpacked before anything reads what is in it: keys, host name, device files.
_SEED = """[Unit]
Description=Take over what makes this host itself
DefaultDependencies=no
ConditionPathExists=/dev/vdc
After=systemd-remount-fs.service
Before=sysinit.target systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/tar -C / --no-overwrite-dir -xf /dev/vdc
ExecStart=-/usr/bin/hostname -F /etc/hostname
[Install]
WantedBy=sysinit.target
"""
_FILES = {
    "etc/fstab": "/dev/vdb none swap sw 0 0\n",
    "etc/resolv.conf": f"nameserver {RESOLVER}\n",
    "etc/systemd/network/lab.network": _NETWORK,
    "etc/systemd/system/lab-seed.service": _SEED,
    # A small initrd: unpacking a large one is a good part of an emulated boot.
    "etc/initramfs-tools/conf.d/lab": "MODULES=list\n",
}
_INSTALL = f"""set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -qy install --no-install-recommends {PACKAGES}
printf '%s\\n' {" ".join(_INITRD_MODULES)} > /etc/initramfs-tools/modules
apt-get -qy install --no-install-recommends {KERNEL}
systemctl enable systemd-networkd.service lab-seed.service
apt-get clean
"""


@dataclass(frozen=True)
class Disk:
    """What a virtual machine starts from."""

    root: Path
    kernel: Path
    initrd: Path


def ensure(suite: str, say: Callable[[str], None] = print) -> Disk:
    """The disk of a release, made if the cache has none."""
    tarball = image.root_filesystem(suite, say)
    folder = cache_dir() / "vm" / f"{suite}-{key_of(tarball.name, inspect.getsource(sys.modules[__name__]))}"
    disk = Disk(folder / "root.img", folder / "vmlinuz", folder / "initrd.img")
    with one_maker(folder.parent):
        if not folder.exists():
            for older in folder.parent.glob(f"{suite}-*"):
                shutil.rmtree(older)
            say(f"Making the disk of an emulated Debian {suite}: about a minute")
            _make(tarball, disk)
    return disk


def _make(tarball: Path, disk: Disk) -> None:
    folder = disk.root.parent
    # What was killed half way is begun anew.
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    root = making / "root"
    root.mkdir(parents=True)
    _run(["tar", "-C", str(root), "-xf", str(tarball)], "unpacking the host image")
    _install_kernel(root)
    for name, kept in (("vmlinuz-*", disk.kernel.name), ("initrd.img-*", disk.initrd.name)):
        shutil.copyfile(next((root / "boot").glob(name)), making / kept)
    _run(
        ["mkfs.ext4", "-q", "-O", "^has_journal", "-d", str(root), str(making / disk.root.name), f"{DISK_GIB}G"],
        "making a file system",
    )
    shutil.rmtree(root)
    making.rename(folder)


def _install_kernel(root: Path) -> None:
    resolver = (root / "etc/resolv.conf").read_text() if (root / "etc/resolv.conf").exists() else ""
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # As long as it is a folder of this machine, it asks this machine's resolver.
    (root / "etc/resolv.conf").write_text(resolver or Path("/etc/resolv.conf").read_text())
    # Maintainer scripts want /proc; in a namespace of its own the mount goes when they are done.
    inside = 'mount -t proc proc "$1/proc" && exec chroot "$1" bash -c "$2"'
    _run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside, "sh", str(root), _INSTALL],
        "installing a kernel into the host image",
    )
    (root / "etc/resolv.conf").write_text(_FILES["etc/resolv.conf"])


def _run(argv: list[str], what: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        free = shutil.disk_usage(cache_dir()).free / 2**30
        raise LabError(f"{what} failed ({free:.1f} GiB are free): {(done.stdout + done.stderr).strip()[-1500:]}")
