"""An account as tests of playbooks use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.settings import CHECKOUT
from tests.cluster import Play

from .emulator import Emulator

PLAY_SECONDS = 1800


@dataclass(frozen=True)
class TimedPlay(Play):
    """`rc`, `changed`, `output`, `words`, and how long it took."""

    seconds: float = 0.0


@dataclass
class Account:
    """The emulator, and how a playbook is run against it."""

    emulator: Emulator
    # So that SSH sockets, known hosts and whatever a run writes at home stay with the test.
    home: Path
    extra_environment: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return self.emulator.client(service)

    def remains(self, cluster: str | None = None) -> dict[str, int]:
        return self.emulator.remains(cluster)

    def environment(self, url: str | None = None) -> dict[str, str]:
        """This process's environment with the account's; no program of the test may find another account."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **own,
            **self.emulator.environment(url),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(self.home / "ansible-tmp"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **self.extra_environment,
        }

    def _localhost(self) -> Path:
        """This machine with the Python that has boto3: what Ansible finds by itself may be another."""
        path = self.home / "localhost.yml"
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        path.write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
        return path

    def play(
        self,
        playbook: Path | str,
        *arguments: str,
        inventory: Path | str | None = None,
        cwd: Path = CHECKOUT,
        url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> TimedPlay:
        """ansible-playbook against this account; `url` is that of a proxy before it."""
        program = str(Path(sys.executable).parent / "ansible-playbook")
        argv = [program, str(playbook), "--inventory", str(inventory or self._localhost()), *arguments]
        print(f"$ ansible-playbook {playbook} {' '.join(arguments)}", flush=True)
        begun = time.monotonic()
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**self.environment(url), **(environment or {})},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PLAY_SECONDS,
        )
        return TimedPlay(done.returncode, done.stdout, time.monotonic() - begun)
