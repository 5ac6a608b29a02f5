"""The emulator's process. Imported by `emulator.main` alone, once moto's settings are in the environment."""

from __future__ import annotations

from pathlib import Path

from moto.server import main

from . import fidelity


def run(port: int, lab: str | None, inventory: Path) -> None:
    """Serve until the process is ended."""
    fidelity.apply()
    if lab:
        # Needs podman, which no other use of the emulator does.
        from . import lab_hosts

        lab_hosts.apply(lab, inventory, port)
    main(["--host", "127.0.0.1", "--port", str(port)])
