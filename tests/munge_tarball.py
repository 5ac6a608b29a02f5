"""Fetch the source of munge 0.5.18 for the molecule scenario, from the Debian mirror that this machine uses itself.

Prints the path. Kept in the cache; the scenario's inventory names the SHA-256, which the role checks.
"""

from __future__ import annotations

import urllib.error
import urllib.request

from lab.image import mirrors
from lab.settings import cache_dir


def fetch() -> str:
    path = cache_dir() / "sources/munge_0.5.18.orig.tar.gz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("gz", "xz"):
            url = f"{mirrors()[0]}/pool/main/m/munge/munge_0.5.18.orig.tar.{suffix}"
            try:
                with urllib.request.urlopen(url, timeout=60) as answer:
                    partial = path.with_suffix(".partial")
                    partial.write_bytes(answer.read())
                    partial.replace(path)
                    break
            except urllib.error.HTTPError:
                continue
    return str(path)


if __name__ == "__main__":
    print(fetch())
