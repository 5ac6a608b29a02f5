# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that come as tarballs: loaded once on each node, and again when the tarball is another one."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Callable, Sequence

from llmops_launch.errors import LaunchError

# Made by the role vllm_image.
_OWN = "/run/llmops-containers"
Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
_LOADED = re.compile(r"^Loaded image(?: ID)?(?:\(s\))?:\s*(\S+)\s*$", re.MULTILINE)


def stem_of(path: str) -> str:
    """The name of what is in a tarball, out of its file's name: letters, digits and . _ - alone, as images allow."""
    name = re.sub(r"\.(tar|tgz|tar\.(gz|xz|zst|bz2))$", "", os.path.basename(path))
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "image"


def tag_of(path: str, size: int, changed: int) -> str:
    """The name under which this very tarball is known on a node."""
    return f"localhost/llmops/{stem_of(path)}:{size:x}-{changed:x}"


def loaded_name(output: str) -> str:
    """What the runtime says it has loaded."""
    found = _LOADED.findall(output)
    if not found:
        raise LaunchError(f"Loading an image failed: its name is not in what was said: {output.strip()[-300:]}")
    return str(found[-1])


def from_tarball(runtime: str, path: str, run: Run, node: str) -> str:
    """The image in a tarball, by the name that this collection gives it. Loads it where it is not there yet."""
    try:
        seen = os.stat(path)
    except OSError as error:
        raise LaunchError(
            f"Reading the image {path} on {node} failed: {error.strerror}. Run the playbook build_image.yml, "
            "or correct image in the entry.",
            66,
        ) from error
    tag = tag_of(path, seen.st_size, int(seen.st_mtime))
    # Nobody else can be there first, as in /tmp.
    folder = _OWN if os.access(_OWN, os.W_OK) else os.path.expanduser("~")
    with open(f"{folder}/.llmops-image-{node}.lock", "w") as lock:
        # Two jobs of one node load it once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if run([runtime, "image", "inspect", "--format", "{{.Id}}", tag]).returncode == 0:
            return tag
        done = run([runtime, "load", "--input", path])
        if done.returncode:
            raise LaunchError(f"Loading the image {path} on {node} failed: {done.stderr.strip()[-500:]}")
        name = loaded_name(done.stdout)
        run([runtime, "tag", name, tag])
        _forget_older(runtime, tag, run)
    return tag


def _forget_older(runtime: str, tag: str, run: Run) -> None:
    """Names of earlier tarballs of the same file name; one that is in use stays."""
    repository = tag.rpartition(":")[0]
    listed = run([runtime, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository])
    for name in listed.stdout.split():
        if name != tag and name.rpartition(":")[0] == repository:
            run([runtime, "rmi", name])
