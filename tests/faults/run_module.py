"""Runs a module of the collection on a host as Ansible's own wrapper does: arguments from standard input as JSON.

Without the SSH connection, the copying and the unpacking, which take seconds a call and are not what is tested.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    (FOLDER / "pids" / str(os.getpid())).write_text(f"{os.getpid()}\n")
    sys.path.insert(0, str(FOLDER / "lib"))
    from ansible.module_utils import basic  # noqa: PLC0415

    basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
    basic._ANSIBLE_PROFILE = "legacy"
    name = f"ansible_collections.llmops.cluster.plugins.modules.{sys.argv[1]}"
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    finally:
        (FOLDER / "pids" / str(os.getpid())).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
