# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that makes a build of links to the packages of Debian, with stand-ins for dpkg, apt-mark and systemctl."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "slurm" / "files" / "link_packages.sh"
# What packages of 26.05.5 have, and what is no business of ours.
FILES = [
    *("bin", "bin/sbatch", "bin/squeue", "sbin/slurmd-wlm", "sbin/slurmstepd-wlm", "sbin/slurmdbd"),
    *("lib/x86_64-linux-gnu/slurm-wlm/auth_none.so", "lib/x86_64-linux-gnu/slurm-wlm/auth_munge.so"),
    *("lib/x86_64-linux-gnu/security/pam_slurm_adopt.so", "share/doc/slurmd/copyright"),
]
STOCK = "include /etc/slurm/plugstack.conf.d/*.conf\n"


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.usr, self.etc, self.prefix = root / "usr", root / "etc", root / "opt/slurm/26.05.5-1-0123456789ab"
        for folder in (root / "tools", self.etc / "slurm/plugstack.conf.d", self.etc / "systemd/system", self.prefix):
            folder.mkdir(parents=True)
        for name in FILES[1:]:
            path = self.usr / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (root / "listed").write_text("".join(f"{self.usr}/{name}\n" for name in FILES))
        self.tool("dpkg", f'[ "$1" = --listfiles ] && cat {root}/listed')
        self.tool("apt-mark", f'case $1 in showhold) cat {root}/held ;; hold) echo "$2" >>{root}/held ;; esac')
        self.tool(
            "systemctl",
            f'case $2 in is-enabled) grep -qx "$3" {root}/enabled ;; disable) sed -i "/^$3$/d" {root}/enabled ;; esac',
        )
        (root / "held").touch()
        (root / "enabled").write_text("slurmd.service\nslurmctld.service\n")

    def tool(self, name: str, text: str) -> None:
        path = self.root / "tools" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self) -> bool:
        """Whether it says that it changed something."""
        done = subprocess.run(
            ["sh", SCRIPT, self.prefix, self.etc, "slurmd", "slurm-client"],
            text=True,
            capture_output=True,
            check=True,
            env={**os.environ, "PATH": f"{self.root / 'tools'}:{os.environ['PATH']}"},
        )
        assert done.stderr == ""
        assert set(done.stdout.split()) <= {"changed"}
        return done.stdout != ""

    def links(self) -> dict[str, str]:
        found = (path for path in self.prefix.rglob("*") if path.is_symlink())
        return {str(path.relative_to(self.prefix)): str(path.readlink().relative_to(self.usr)) for path in found}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_looks_like_a_build(host: Host) -> None:
    assert host.run()
    assert host.links() == {
        "bin/sbatch": "bin/sbatch",
        "bin/squeue": "bin/squeue",
        "sbin/slurmd": "sbin/slurmd-wlm",
        "sbin/slurmstepd": "sbin/slurmstepd-wlm",
        "sbin/slurmdbd": "sbin/slurmdbd",
        "lib/slurm": "lib/x86_64-linux-gnu/slurm-wlm",
        "lib/security/pam_slurm_adopt.so": "lib/x86_64-linux-gnu/security/pam_slurm_adopt.so",
    }
    assert not host.run()


def test_a_command_that_is_gone_has_no_link(host: Host) -> None:
    host.run()
    (host.usr / "bin/squeue").unlink()
    (host.root / "listed").write_text("".join(f"{host.usr}/{name}\n" for name in FILES if name != "bin/squeue"))
    host.run()
    assert "bin/squeue" not in host.links()


def test_only_links_to_another_version_are_removed(host: Host) -> None:
    built, other = host.prefix.with_name("24.11.5-aaaaaaaaaaaa"), host.prefix.with_name("26.05.4-1-bbbbbbbbbbbb")
    for folder in (built, other):
        (folder / "bin").mkdir(parents=True)
    (built / "bin/sbatch").touch()
    (other / "bin/sbatch").symlink_to(host.usr / "bin/sbatch")
    current = host.prefix.with_name("current")
    current.symlink_to(other)
    host.run()
    assert other.exists(), "what runs is left until the new one has taken its place"
    current.unlink()
    current.symlink_to(host.prefix)
    host.run()
    assert (built.exists(), other.exists(), current.exists()) == (True, False, True)


def test_packages_are_held_and_only_daemons_with_a_unit_of_ours_start(host: Host) -> None:
    (host.etc / "systemd/system/slurmd.service").touch()
    assert host.run()
    assert (host.root / "held").read_text().split() == ["slurmd", "slurm-client"]
    assert (host.root / "enabled").read_text() == "slurmd.service\n"


@pytest.mark.parametrize(
    ("text", "plugin", "stays"),
    [
        pytest.param(STOCK, False, False, id="the-packages-own"),
        pytest.param(STOCK, True, True, id="with-a-plugin"),
        pytest.param(f"{STOCK}required private-tmpdir.so\n", False, True, id="somebodys"),
    ],
)
def test_plugstack(host: Host, text: str, plugin: bool, stays: bool) -> None:
    conf = host.etc / "slurm/plugstack.conf"
    conf.write_text(text)
    if plugin:
        (host.etc / "slurm/plugstack.conf.d/x.conf").touch()
    host.run()
    assert conf.exists() == stays
