# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch one version of a Debian source package, check it, unpack it and apply its security patches.

Uses the mirrors that this host's apt uses, with a private list of sources, so the host's own package lists stay
as they are. SHA-256 sums come from the index that apt verified with the distribution's key. A file that one archive
lacks (the security archive shares the .orig tarball with the main one) is taken from the other: the sum decides.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


def mirrors() -> list[str]:
    """Archive addresses in this host's apt configuration."""
    text = ""
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.suffix in {".list", ".sources"} and path.is_file():
            text += path.read_text()
    live = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return sorted({url.rstrip("/") for url in re.findall(r"https?://\S+", live)})


def source_lines(urls: list[str], suite: str) -> str:
    lines = []
    for url in urls:
        if url.endswith("/debian"):
            lines += [f"deb-src {url} {suite} main", f"deb-src {url} {suite}-updates main"]
        elif url.endswith("debian-security"):
            lines.append(f"deb-src {url} {suite}-security main")
    if not lines:
        sys.exit("no Debian mirror (an address ending in /debian) in /etc/apt; set slurm_source: upstream instead.")
    return "\n".join(lines) + "\n"


def apt(folder: Path, *arguments: str) -> str:
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::State::lists": folder / "lists",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    # Away from the tarballs: apt leaves out of its list what lies in the working folder.
    done = subprocess.run(
        ["apt-get", *words, *arguments], capture_output=True, text=True, cwd=folder / "lists", check=False
    )
    if done.returncode:
        sys.exit(f"apt-get {' '.join(arguments)} failed: {done.stderr.strip()[-800:]}")
    return done.stdout


def wanted_files(folder: Path, package: str, version: str) -> dict[str, str]:
    """File name -> SHA-256 of the .orig and .debian tarballs of exactly this version."""
    printed = apt(folder, "source", "--print-uris", f"{package}={version}")
    found = re.findall(r"^'\S+' (\S+) \d+ SHA256:([0-9a-f]{64})$", printed, re.MULTILINE)
    files = {name: digest for name, digest in found if ".orig.tar." in name or ".debian.tar." in name}
    if len(files) != 2:
        sys.exit(f"{package} {version}: expected one .orig and one .debian tarball, found {sorted(files)}.")
    return files


def fetch(urls: list[str], package: str, name: str, digest: str, folder: Path) -> Path:
    subfolder = f"{package[:4] if package.startswith('lib') else package[0]}/{package}/{urllib.parse.quote(name)}"
    reasons = []
    for url in urls:
        for pool in ("pool/main", "pool/updates/main"):
            try:
                with urllib.request.urlopen(f"{url}/{pool}/{subfolder}", timeout=120) as answer:
                    content = answer.read()
            except (urllib.error.URLError, OSError) as error:
                reasons.append(str(error))
                continue
            if hashlib.sha256(content).hexdigest() == digest:
                path = folder / name
                path.write_bytes(content)
                return path
            reasons.append("a file with another SHA-256")
    return sys.exit(f"{name} (SHA-256 {digest}) could not be had from any mirror of this host: {'; '.join(reasons)}")


def unpack(folder: Path, tarballs: list[Path]) -> None:
    source = folder / "source"
    source.mkdir()
    orig = next(path for path in tarballs if ".orig.tar." in path.name)
    debian = next(path for path in tarballs if ".debian.tar." in path.name)
    subprocess.run(["tar", "--strip-components=1", "-C", source, "-xf", orig], check=True)
    subprocess.run(["tar", "-C", source, "-xf", debian], check=True)
    patches = source / "debian/patches"
    applied = 0
    for line in (patches / "series").read_text().splitlines():
        name = line.split("#")[0].strip()
        # The others adapt Slurm to Debian's own paths, which are not ours.
        if not name.startswith("CVE-"):
            continue
        done = subprocess.run(
            ["patch", "-p1", "--forward", "--silent", "-i", patches / name],
            cwd=source,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"patch {name} does not apply: {done.stdout[-500:]}{done.stderr[-500:]}")
        applied += 1
    print(f"{applied} security patches applied")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", required=True)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--folder", required=True, type=Path, help="gets lists, tarballs and the folder `source`")
    wanted = parser.parse_args()
    (wanted.folder / "lists/partial").mkdir(parents=True, exist_ok=True)
    urls = mirrors()
    (wanted.folder / "sources.list").write_text(source_lines(urls, wanted.suite))
    apt(wanted.folder, "update", "-q")
    files = wanted_files(wanted.folder, wanted.package, wanted.version)
    archives = [url for url in urls if "debian" in url]
    unpack(wanted.folder, [fetch(archives, wanted.package, n, d, wanted.folder) for n, d in sorted(files.items())])


main()
