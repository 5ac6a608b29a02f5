"""Remove one host of a lab, disk and all, as if its machine had burnt: python -m tests.lose_host LAB INVENTORY HOST."""

from __future__ import annotations

import sys
from pathlib import Path

from lab import podman
from lab.settings import load


def main() -> None:
    name, inventory, host = sys.argv[1:]
    podman.ensure_ready()
    podman.remove(load(name, Path(inventory)).container(host))


if __name__ == "__main__":
    main()
