"""What a person sees while the lab works: which phase of how many, what it is doing now, how long the last one took."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .errors import LabError
from .settings import cache_dir

_PLAY = re.compile(r"^PLAY \[(.*?)\]")
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*?)\]")
_FAILED = re.compile(r"^(fatal|failed): ")


class Progress:
    """Prints the phases of one run; remembers how long each took the last time on this machine.

    `patience`: seconds until a step is told of where no line can be written over.
    """

    def __init__(self, total: int, patience: float = 10) -> None:
        self.total = total
        self.patience = patience
        self.number = 0
        self._file = cache_dir() / "durations.json"
        self._tty = sys.stdout.isatty()
        self._lasts: threading.Timer | None = None
        try:
            self._last: dict[str, float] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            self._last = {}

    def phase(self, title: str, work: Callable[[], None]) -> None:
        self.number += 1
        known = f" (last time {self._last[title]:.0f} s)" if title in self._last else ""
        print(f"[{self.number}/{self.total}] {title}{known}", flush=True)
        begin = time.monotonic()
        work()
        took = time.monotonic() - begin
        self.clear()
        print(f"      done in {took:.0f} s", flush=True)
        self._last[title] = took
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._last, indent=2) + "\n")

    def now(self, text: str) -> None:
        """One line that is written over on a terminal; elsewhere a line when it lasts."""
        self.clear()
        if self._tty:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{f'      {text}'[:width]}", end="", flush=True)
        else:
            self._lasts = threading.Timer(self.patience, lambda: print(f"      {text}", flush=True))
            self._lasts.daemon = True
            self._lasts.start()

    def clear(self) -> None:
        if self._tty:
            print("\r\x1b[K", end="", flush=True)
        elif self._lasts:
            self._lasts.cancel()

    def say(self, text: str) -> None:
        self.clear()
        print(f"      {text}", flush=True)


def run_playbook(progress: Progress, argv: list[str], cwd: Path, environment: dict[str, str], log: Path) -> str:
    """Run ansible-playbook: plays as lines, the task at work as the status, everything into the log.

    Returns the recap. On failure raises with the failed task's own words and the log's place.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: list[str] = []
    failure: list[str] = []
    recap: list[str] = []
    plays: set[str] = set()
    task = ""
    with (
        log.open("w") as record,
        subprocess.Popen(
            # A kill of this process must not leave a playbook at work behind.
            ["setpriv", "--pdeathsig", "TERM", *argv],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout or ():
            record.write(line)
            record.flush()
            text = line.rstrip()
            tail = [*tail[-30:], text]
            if match := _PLAY.match(text):
                # A check that each part begins with is told of once.
                if match[1] not in plays:
                    progress.say(match[1])
                plays.add(match[1])
            elif match := _TASK.match(text):
                task = match[1]
                progress.now(task)
            if _FAILED.match(text) or failure:
                failure = [*failure, text][:60]
            if recap or text.startswith("PLAY RECAP"):
                recap.append(text)
    if process.returncode:
        words = "\n".join(failure or tail)
        raise LabError(f"{' '.join(argv[:2])} failed in task {task!r}. Everything it said: {log}\n\n{words}")
    return "\n".join(recap)
