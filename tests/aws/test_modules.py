"""The amazon.aws modules against the emulated account: made, unchanged, removed, unchanged; and what each run costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .account import Account, TimedPlay
from .stage import new_key

pytestmark = pytest.mark.slow
PLAYBOOKS = Path(__file__).parent / "playbooks"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_key(tmp_path)


def ran(play: TimedPlay) -> TimedPlay:
    print(f"{play.seconds:.0f} s, changed={play.changed}")
    assert play.rc == 0, play.output[-5000:]
    return play


def test_all_that_a_cluster_needs_comes_and_goes(account: Account, key: Path) -> None:
    make, public_key = PLAYBOOKS / "make.yml", f"key_file={key.with_suffix('.pub')}"
    first = ran(account.play(make, "-e", public_key))
    again = ran(account.play(make, "-e", public_key))
    assert (first.changed, again.changed) == (23, 0), again.output
    made = account.remains("demo")
    assert (made["instances"], made["elastic_ips"]) == (5, 1)
    ran(account.play(PLAYBOOKS / "remove.yml"))
    assert account.remains() == {}
    assert ran(account.play(PLAYBOOKS / "remove.yml")).changed == 0
