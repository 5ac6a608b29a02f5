"""One emulator for all tests of a run, an empty account for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .account import Account
from .emulator import Emulator
from .proxy import Proxy


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with Emulator() as one:
        yield one


@pytest.fixture
def account(emulator: Emulator, tmp_path: Path) -> Account:
    """Nothing in it but what AWS makes itself."""
    emulator.reset()
    return Account(emulator, tmp_path)


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """Before the emulator; nothing goes wrong until a test says so."""
    with Proxy(emulator.url) as one:
        yield one
