# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to disks: found, looked at, made, mounted."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
from pathlib import Path

from .decide import ARRAY, FILE_SYSTEM, LABEL, Device, DiskError, devices

_COLUMNS = "PATH,TYPE,MOUNTPOINTS"
# mkfs of some TB is done in seconds; a disk that does not answer is not.
_PATIENCE = 300.0
# What blkid exits with when it finds nothing.
_EMPTY = 2


class Disks:
    """The disks whose links match a pattern, and the folder that they shall be."""

    def __init__(self, pattern: str, folder: str) -> None:
        self._pattern, self.folder = pattern, folder

    def paths(self) -> list[str]:
        """Each disk once: udev gives some of them two links, and partitions links of their own."""
        links = [link for link in glob.glob(self._pattern) if not re.search(r"-part\d+$", link)]
        return sorted({os.path.realpath(link) for link in links})

    def known(self) -> dict[str, Device]:
        return devices(self.paths(), json.loads(_run("lsblk", "--json", "--output", _COLUMNS)), _probe)

    def make(self, paths: tuple[str, ...]) -> str:
        """An array of several, or the one itself."""
        if len(paths) == 1:
            return paths[0]
        options = ["--run", "--metadata=1.2", "--level=0", "--homehost=any", f"--name={LABEL}"]
        _run("mdadm", "--create", ARRAY, *options, f"--raid-devices={len(paths)}", *paths)
        return ARRAY

    def assemble(self, paths: tuple[str, ...]) -> None:
        _run("mdadm", "--assemble", ARRAY, *paths)

    def format(self, device: str) -> None:
        # Few large files; nothing is kept back for root.
        _run(f"mkfs.{FILE_SYSTEM}", "-q", "-F", "-T", "largefile", "-m", "0", "-L", LABEL, device)

    def mount(self, device: str) -> None:
        folder = Path(self.folder)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DiskError(
                f"{folder} holds something, and a disk mounted there would hide it. Move it away, then "
                "systemctl restart llmops-local-nvme"
            )
        _run("mount", "-t", FILE_SYSTEM, "-o", "noatime,nodev,nosuid", device, str(folder))
        lost_and_found = folder / "lost+found"
        if lost_and_found.is_dir():
            # Whoever lists models would find it.
            lost_and_found.rmdir()


def _probe(path: str) -> str:
    """What is on a device, from the device itself; nothing for an empty one."""
    done = _call("blkid", "--probe", "--output", "export", path)
    if done.returncode not in (0, _EMPTY):
        raise DiskError(
            f"blkid cannot say what is on {path} ({done.stderr.strip() or done.returncode}): it is not touched"
        )
    return done.stdout


def _run(*argv: str) -> str:
    done = _call(*argv)
    if done.returncode:
        raise DiskError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _call(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DiskError(f"{' '.join(argv)} failed: {error}") from error
