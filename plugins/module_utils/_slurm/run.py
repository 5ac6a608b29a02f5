# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one command with exactly the environment and the time it is given. The only file that starts processes."""

from __future__ import annotations

import os
import subprocess
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

# Slurm's own clients give up after MessageTimeout (10 s by default) for each controller; a frozen munged has no limit.
COMMAND_SECONDS = 90.0


class Completed(t.NamedTuple):
    """What a command answered. `rc` is None when it was stopped because it took too long."""

    argv: tuple[str, ...]
    rc: int | None
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error in one line."""
        if self.rc is None:
            return f"no answer within {COMMAND_SECONDS:.0f} seconds"
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return "; ".join(lines) if lines else f"exit code {self.rc} and no message"


class Runner(t.Protocol):
    def __call__(self, argv: list[str], env: Mapping[str, str], cwd: str = "/") -> Completed: ...


def run(argv: list[str], env: Mapping[str, str], cwd: str = "/") -> Completed:
    # Not run_command: that can only add to the environment, and a job must get what was asked for and nothing else.
    # What a job gets is UTF-8, whatever the locale of the session.
    place = _raw(cwd)
    try:
        done = subprocess.run(
            [_raw(word) for word in argv],
            env={_raw(name): _raw(value) for name, value in env.items()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=place if os.path.isdir(place) else b"/",
            timeout=COMMAND_SECONDS,
            # Python hands down nothing but the locks, which are marked for it.
            close_fds=False,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return Completed(tuple(argv), None, _text(expired.stdout), _text(expired.stderr))
    return Completed(tuple(argv), done.returncode, _text(done.stdout), _text(done.stderr))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _text(raw: bytes | str | None) -> str:
    if isinstance(raw, bytes):
        return raw.decode("utf-8", errors="replace")
    return raw or ""
