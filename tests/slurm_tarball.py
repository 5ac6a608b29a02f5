"""Fetch the source of Slurm 25.11.2, the release that the upgrade scenario goes to, from Ubuntu's public archive.

Prints the path. Kept in the cache. For that test alone: 25.11.2 lacks the fixes of 25.11.8, which could not be had.
The sum is the one of Ubuntu's index of sources (slurm-wlm 25.11.2-1ubuntu2 of 26.04); the role checks it again.
"""

from __future__ import annotations

import hashlib
import urllib.request

from lab.errors import LabError
from lab.settings import cache_dir

URL = "http://archive.ubuntu.com/ubuntu/pool/universe/s/slurm-wlm/slurm-wlm_25.11.2.orig.tar.gz"
SHA256 = "719783317e46b6241ab5c8f1e3f91e1e34fda63b5a1cd21403fa7696ec8d517c"


def fetch() -> str:
    path = cache_dir() / "sources" / URL.rpartition("/")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=60) as answer:
            content = answer.read()
        if (found := hashlib.sha256(content).hexdigest()) != SHA256:
            raise LabError(f"fetching {URL} failed: its SHA-256 is {found}, not {SHA256}")
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(path)
    return str(path)


if __name__ == "__main__":
    print(fetch())
