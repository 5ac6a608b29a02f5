"""The images of lab hosts: Debian with systemd and sshd, made from this machine's own package mirror.

Debian 12 whatever the machine runs, because the CPU build of torch that the lab's vLLM needs exists for its
Python 3.11; hosts without vLLM may have another release (`lab_suite` in the lab's inventory). The root file system is
cached as a tarball, keyed by what went into it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import podman
from .errors import LabError
from .lock import one_maker
from .settings import ADMIN, SUITE, Lab, cache_dir, key_of

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


def _key(suite: str) -> str:
    certificates = "".join(p.read_text() for p in sorted(LOCAL_CAS.glob("*.crt"))) if LOCAL_CAS.is_dir() else ""
    return key_of(suite, PACKAGES, *mirrors(), _apt_settings(), certificates, Path(__file__).read_text())


def tag(suite: str = SUITE) -> str:
    return f"localhost/llmops-host:{_key(suite)}"


def ensure(lab: Lab, say: Callable[[str], None] = print) -> None:
    """Build what images the hosts and the hub of a lab lack; `say` is told what takes a while."""
    for suite in sorted({SUITE, *(host.suite for host in lab.hosts)}):
        _ensure(suite, say)


def _ensure(suite: str, say: Callable[[str], None]) -> None:
    if _exists(suite):
        return
    tarball = root_filesystem(suite, say)
    with one_maker(tarball.parent):
        if _exists(suite):
            return
        say("Importing it into podman")
        changes = ['CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3", "ENV container=podman"]
        podman.run("import", *(word for change in changes for word in ("--change", change)), str(tarball), tag(suite))


def _exists(suite: str) -> bool:
    return podman.run("image", "exists", tag(suite), check=False).returncode == 0


def root_filesystem(suite: str, say: Callable[[str], None] = print) -> Path:
    """The tarball of a release with what every host of a lab needs; made if it is not in the cache."""
    tarball = cache_dir() / "rootfs" / f"{suite}-{_key(suite)}.tar"
    with one_maker(tarball.parent):
        if not tarball.exists():
            say(f"Installing Debian {suite} into a folder: a minute or two")
            _make_rootfs(suite, tarball)
    return tarball


def debootstrap(suite: str, root: Path, packages: str) -> list[str]:
    """The command that installs a release into a folder. One younger than debootstrap is made like sid."""
    script = Path("/usr/share/debootstrap/scripts") / suite
    like_sid = [] if script.exists() else [str(script.with_name("sid"))]
    return ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), mirrors()[0], *like_sid]


def _make_rootfs(suite: str, tarball: Path) -> None:
    root = tarball.with_suffix(".making")
    shutil.rmtree(root, ignore_errors=True)
    archive, security = mirrors()
    done = subprocess.run(debootstrap(suite, root, PACKAGES), capture_output=True, text=True)
    if done.returncode:
        words = f"{done.stdout[-2000:]}{done.stderr[-500:]}"
        raise LabError(f"debootstrap of {suite} from {archive} failed ({_room(root)}):\n{words}")
    _configure(suite, root, archive, security)
    partial = tarball.with_suffix(".partial")
    done = subprocess.run(["tar", "-C", str(root), "-cf", str(partial), "."], capture_output=True, text=True)
    if done.returncode:
        partial.unlink(missing_ok=True)
        raise LabError(f"packing the host image as {partial} failed ({_room(root)}): {done.stderr.strip()[-500:]}")
    partial.replace(tarball)
    shutil.rmtree(root)


def _room(folder: Path) -> str:
    return f"{shutil.disk_usage(folder.parent).free / 2**30:.1f} GiB are free on the disk of {folder.parent}"


def _configure(suite: str, root: Path, archive: str, security: str) -> None:
    suites = [(archive, suite), (archive, f"{suite}-updates"), (security, f"{suite}-security")]
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
