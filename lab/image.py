"""The image of a lab host: Debian 12 with systemd and sshd, made from this machine's own package mirror.

Debian 12 whatever the machine runs, because the CPU build of torch that the lab's vLLM needs exists for its
Python 3.11. The root file system is cached as a tarball, keyed by what went into it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import podman
from .errors import LabError
from .settings import ADMIN, cache_dir, key_of

SUITE = "bookworm"
PACKAGES = (
    "apt-utils,ca-certificates,curl,dbus,iproute2,iputils-ping,libpam-systemd,openssh-server,patch,procps,"
    "python3,python3-apt,python3-venv,sudo,systemd,systemd-sysv,xz-utils,zstd"
)
LOCAL_CAS = Path("/usr/local/share/ca-certificates")
# Host keys are made at first boot: shipped in an image they would be the same on every host.
_FIRST_BOOT = """[Unit]
Description=Make the SSH host keys of this host
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
"""
_APT_SETTINGS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy")


def mirrors() -> tuple[str, str]:
    """The archive and the security archive that this machine uses itself."""
    text = ""
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.suffix in {".list", ".sources"} and path.is_file():
            text += path.read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    urls = re.findall(r"(https?://\S+)", lines)
    archive = next((url for url in urls if url.rstrip("/").endswith("/debian")), None)
    security = next((url for url in urls if url.rstrip("/").endswith("debian-security")), None)
    if not archive or not security:
        raise LabError(
            "finding a Debian mirror in /etc/apt failed: no URL ends in /debian and /debian-security. "
            "The lab's hosts are made from this machine's mirror; run it on Debian 12 or 13."
        )
    return archive.rstrip("/"), security.rstrip("/")


def _apt_settings() -> str:
    dump = subprocess.run(["apt-config", "dump", *_APT_SETTINGS], capture_output=True, text=True).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if not line.endswith('"";'))


def _key() -> str:
    certificates = "".join(p.read_text() for p in sorted(LOCAL_CAS.glob("*.crt"))) if LOCAL_CAS.is_dir() else ""
    return key_of(SUITE, PACKAGES, *mirrors(), _apt_settings(), certificates, Path(__file__).read_text())


def tag() -> str:
    return f"localhost/llmops-host:{_key()}"


def ensure(say: Callable[[str], None] = print) -> None:
    """Build the image unless podman has it already; `say` is told what takes a while."""
    if podman.run("image", "exists", tag(), check=False).returncode == 0:
        return
    tarball = cache_dir() / "rootfs" / f"{SUITE}-{_key()}.tar"
    if not tarball.exists():
        say(f"Installing Debian {SUITE} into a folder: a minute or two")
        _make_rootfs(tarball)
    say("Importing it into podman")
    changes = ['CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3", "ENV container=podman"]
    podman.run("import", *(word for change in changes for word in ("--change", change)), str(tarball), tag())


def _make_rootfs(tarball: Path) -> None:
    tarball.parent.mkdir(parents=True, exist_ok=True)
    root = tarball.with_suffix(".making")
    shutil.rmtree(root, ignore_errors=True)
    archive, security = mirrors()
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), archive]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = f"{done.stdout[-2000:]}{done.stderr[-500:]}"
        raise LabError(f"debootstrap of {SUITE} from {archive} failed ({_room(root)}):\n{words}")
    _configure(root, archive, security)
    partial = tarball.with_suffix(".partial")
    done = subprocess.run(["tar", "-C", str(root), "-cf", str(partial), "."], capture_output=True, text=True)
    if done.returncode:
        partial.unlink(missing_ok=True)
        raise LabError(f"packing the host image as {partial} failed ({_room(root)}): {done.stderr.strip()[-500:]}")
    partial.replace(tarball)
    shutil.rmtree(root)


def _room(folder: Path) -> str:
    return f"{shutil.disk_usage(folder.parent).free / 2**30:.1f} GiB are free on the disk of {folder.parent}"


def _configure(root: Path, archive: str, security: str) -> None:
    suites = [(archive, SUITE), (archive, f"{SUITE}-updates"), (security, f"{SUITE}-security")]
    files = {
        "etc/apt/sources.list": "".join(f"deb {url} {suite} main\n" for url, suite in suites),
        "etc/apt/apt.conf.d/90lab": _apt_settings(),
        "etc/sudoers.d/lab-admin": f"{ADMIN} ALL=(ALL) NOPASSWD: ALL\n",
        "etc/ssh/sshd_config.d/lab.conf": "PasswordAuthentication no\nUseDNS no\n",
        "etc/systemd/system/lab-host-keys.service": _FIRST_BOOT,
        "etc/machine-id": "",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "etc/sudoers.d/lab-admin").chmod(0o440)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    if LOCAL_CAS.is_dir():
        shutil.copytree(LOCAL_CAS, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    script = (
        f"useradd --create-home --shell /bin/bash {ADMIN} && systemctl enable lab-host-keys.service"
        " && systemctl mask systemd-modules-load.service && update-ca-certificates && apt-get clean"
    )
    done = subprocess.run(["chroot", str(root), "bash", "-c", script], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"configuring the host image failed: {done.stderr[-1000:]}")
