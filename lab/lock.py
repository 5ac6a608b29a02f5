"""One command on a lab at a time, whichever tool it came by; one maker of what is cached for all labs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError
from .settings import Lab


@contextmanager
def only_one(lab: Lab) -> Iterator[None]:
    """Two runs on one lab would undo each other; the lock dies with its process."""
    lock = lab.state.parent / f"{lab.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LabError(f"another command is at work on lab {lab.name!r}; wait for it or stop it.") from error
        yield


@contextmanager
def one_maker(folder: Path) -> Iterator[None]:
    """What two labs need is made by the first; the second waits for it and finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
