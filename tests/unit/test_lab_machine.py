"""Choosing a subnet, and refusing a machine that cannot carry the lab."""

from __future__ import annotations

import ipaddress

import pytest

from lab import machine
from lab.errors import LabError


@pytest.fixture
def _routes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [ipaddress.IPv4Network("10.210.64.0/24"), ipaddress.IPv4Network("192.168.0.0/16")]
    monkeypatch.setattr(machine, "_routes", lambda: taken)
    monkeypatch.delenv("LLMOPS_LAB_SUBNET", raising=False)


@pytest.mark.usefixtures("_routes")
def test_first_free_subnet_is_taken() -> None:
    assert machine.free_subnet() == "10.210.65.0/24"


@pytest.mark.usefixtures("_routes")
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("10.210.64.0/24", "overlaps 10.210.64.0/24"),
        ("192.168.7.0/24", "overlaps 192.168.0.0/16"),
        ("10.9.0.0/16", "an IPv4 /24 is needed"),
        ("here", "is no network"),
    ],
)
def test_subnet_that_cannot_be(monkeypatch: pytest.MonkeyPatch, wanted: str, message: str) -> None:
    monkeypatch.setenv("LLMOPS_LAB_SUBNET", wanted)
    with pytest.raises(LabError) as refused:
        machine.free_subnet()
    assert message in str(refused.value)


@pytest.mark.usefixtures("_routes")
def test_a_subnet_of_a_lab_that_is_stopped_is_not_taken() -> None:
    assert machine.free_subnet(["10.210.65.0/24", "10.210.66.0/24"]) == "10.210.67.0/24"


def test_not_root_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="use `sudo make demo`"):
        machine.check_tools()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine.shutil, "which", lambda command: None if command == "crun" else f"/usr/bin/{command}")
    with pytest.raises(LabError, match="missing packages: crun"):
        machine.check_tools()


def test_small_disk_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("machine")
    for name in ("cache", "state"):
        (folder / name).mkdir()
    monkeypatch.setenv("LLMOPS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("LLMOPS_STATE", str(folder / "state"))
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda path: machine.shutil._ntuple_diskusage(2**40, 2**40, 2**30)
    )
    with pytest.raises(LabError, match=r"has 1\.0 GiB free; the lab needs 20 GiB\. .*LLMOPS_CACHE"):
        machine.check_room()
