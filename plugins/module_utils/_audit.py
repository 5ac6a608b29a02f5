# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host is not as it shall be, in sentences. Private to this collection."""

from __future__ import annotations

import datetime
import grp
import hashlib
import os
import pwd
import re
import stat
import time
import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Wanted = t.Mapping[str, t.Any]
# Runs a command; its output, whatever its exit status.
Run = Callable[[list[str]], str]
_KINDS: t.Final = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK}
_PROPERTIES: t.Final = "UnitFileState,ActiveState,NeedDaemonReload,ExecMainStartTimestamp"
_RELEASE: t.Final = re.compile(r"^(?P<release>[0-9]+(\.[0-9]+)*)(\+(?P<local>[a-z0-9.]+))?$")
# Where apt notes that it has read its lists, as Ansible's module apt looks for it.
_LISTS: t.Final = ("/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists")


def groups(wanted: Iterable[Wanted]) -> list[str]:
    """Groups that are not there, or have another number."""
    return [
        fault for one in wanted for fault in _account(f"group {one['name']}", _group(one["name"]), {"gid": one["gid"]})
    ]


def users(wanted: Iterable[Wanted]) -> list[str]:
    """Users that are not there, or are otherwise."""
    return [
        fault
        for one in wanted
        for fault in _account(f"user {one['name']}", _user(one["name"]), {k: v for k, v in one.items() if k != "name"})
    ]


def _account(what: str, found: Wanted | None, wanted: Wanted) -> list[str]:
    if found is None:
        return [f"{what} is not there"]
    return [
        f"{what} has {key} {found[key]}, not {value}"
        for key, value in wanted.items()
        if value is not None and str(found[key]) != str(value)
    ]


def _group(name: str) -> Wanted | None:
    try:
        return {"gid": grp.getgrnam(name).gr_gid}
    except KeyError:
        return None


def _user(name: str) -> Wanted | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    group = _name_of(grp.getgrgid, entry.pw_gid)
    return {"uid": entry.pw_uid, "group": group, "home": entry.pw_dir, "shell": entry.pw_shell}


def _name_of(look: Callable[[int], t.Any], number: int) -> str:
    try:
        return str(look(number)[0])
    except KeyError:
        return str(number)


def versions(names: Sequence[str], run: Run, is_debian: bool) -> dict[str, str]:
    """Package -> version, of those that are installed."""
    if not names:
        return {}
    if is_debian:
        argv = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status} ${Version}\n", *names]
    else:
        argv = ["rpm", "--query", "--queryformat", "%{NAME} installed %{VERSION}\n", *names]
    words = [line.split() for line in run(argv).splitlines()]
    return {line[0]: line[2] for line in words if len(line) == 3 and line[1] == "installed"}


def held(wanted: Mapping[str, str], run: Run) -> list[str]:
    """Packages of dpkg that are not of this version, or that everybody may change."""
    if not wanted:
        return []
    form = "--showformat=${Package} ${db:Status-Status} ${Version} ${db:Status-Want}\n"
    words = [line.split() for line in run(["dpkg-query", "--show", form, *wanted]).splitlines()]
    found = {line[0]: line[2:] for line in words if len(line) == 4 and line[1] == "installed"}
    faults = []
    for name, version in wanted.items():
        has, want = found.get(name, ("not installed", ""))
        if has != version:
            faults.append(f"package {name} is {has}, not {version}")
        elif want != "hold":
            faults.append(f"package {name} is not on hold")
    return faults


def lists(age: int, root: str = "/", now: float | None = None) -> list[str]:
    """Whether apt has read its lists in the last `age` seconds; where there is no apt, all is well."""
    for path in (Path(root) / name.lstrip("/") for name in _LISTS):
        if path.exists():
            old = (time.time() if now is None else now) - path.stat().st_mtime
            return [f"the package lists are {old:.0f} s old, more than {age}"] if old > age else []
    return []


def files(wanted: Iterable[Wanted]) -> tuple[list[str], list[str]]:
    """Files, folders and links that are not as they shall be; and the paths where nothing is."""
    differences, missing = [], []
    for one in filter(_applies, wanted):
        path = Path(one["path"])
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(str(path))
            if one["state"] != "absent":
                differences.append(f"{path} is not there")
            continue
        differences += _file(path, found, one)
    return differences, missing


def _file(path: Path, found: os.stat_result, wanted: Wanted) -> list[str]:
    state = wanted["state"]
    if state == "absent":
        return [f"{path} is there"]
    if not _KINDS[state](found.st_mode):
        return [f"{path} is no {state}"]
    if state == "link":
        target = os.readlink(path)
        return [f"{path} leads to {target}, not {wanted['target']}"] if target != wanted["target"] else []
    faults = _ownership(path, found, wanted)
    # Its content only where the rest is right: one difference is enough.
    content = wanted.get("sha256")
    if not faults and content is not None and hashlib.sha256(path.read_bytes()).hexdigest() != content:
        faults.append(f"{path} has other content")
    return faults


def _ownership(path: Path, found: os.stat_result, wanted: Wanted) -> list[str]:
    has = {
        "owner": _name_of(pwd.getpwuid, found.st_uid),
        "group": _name_of(grp.getgrgid, found.st_gid),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
    }
    return [
        f"{path} has {key} {value}, not {wanted[key]}"
        for key, value in has.items()
        if wanted.get(key) is not None and value != wanted[key]
    ]


def _applies(one: Wanted) -> bool:
    """Whether this host is one of those that it holds for."""
    here, away = one.get("only_with"), one.get("only_without")
    return (here is None or os.path.lexists(here)) and not (away is not None and os.path.lexists(away))


def python_packages(wanted: Iterable[Wanted]) -> list[str]:
    """Python packages of virtual environments that are not there, or of another version."""
    found: dict[str, dict[str, list[str]]] = {}
    faults = []
    for one in filter(_applies, wanted):
        prefix, name, version = one["prefix"], one["name"], one["version"]
        if prefix not in found:
            found[prefix] = _distributions(prefix)
        has = found[prefix].get(_normalized(name), [])
        if len(has) != 1 or not _same_version(has[0], version):
            faults.append(f"{prefix} has {name} {' and '.join(has) or 'not at all'}, not {version}")
    return faults


def _distributions(prefix: str) -> dict[str, list[str]]:
    """Package -> versions (two where an installation was interrupted), by the folders that installers leave."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(prefix).glob("lib/python*/site-packages/*.dist-info")):
        name, _dash, version = path.name[: -len(".dist-info")].partition("-")
        found.setdefault(_normalized(name), []).append(version)
    return found


def _same_version(has: str, wanted: str) -> bool:
    """As installers compare a release with "==": 0.32 is 0.32.0, and any local version of it where none is asked for.

    What is no plain release is not compared: a difference that nothing mends would be found at each run.
    """
    asked = _RELEASE.match(wanted)
    if asked is None:
        return True
    found = _RELEASE.match(has)
    if found is None or (asked["local"] and asked["local"] != found["local"]):
        return False
    return re.sub(r"(\.0+)+$", "", asked["release"]) == re.sub(r"(\.0+)+$", "", found["release"])


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def services(wanted: Sequence[Wanted], run: Run) -> list[str]:
    """Services that are not enabled, do not run, or are older than what they were started from."""
    if not wanted:
        return []
    names = [f"{one['name']}.service" for one in wanted]
    # One block for each, in this order.
    told = run(["systemctl", "show", "--timestamp=us+utc", f"--property={_PROPERTIES}", *names]).strip().split("\n\n")
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in told]
    blocks += [{}] * (len(names) - len(blocks))
    return [fault for name, one, shown in zip(names, wanted, blocks) for fault in _service(name, shown, one["files"])]


def _service(name: str, shown: Mapping[str, str], paths: Iterable[str]) -> list[str]:
    for key, right in (("UnitFileState", "enabled"), ("ActiveState", "active"), ("NeedDaemonReload", "no")):
        if shown.get(key) != right:
            return [f"{name} has {key} {shown.get(key) or 'unknown'}, not {right}"]
    since = started(shown["ExecMainStartTimestamp"])
    if since is None:
        return []
    faults = []
    for path in paths:
        try:
            newer = os.lstat(path).st_ctime > since
        except OSError:
            faults.append(f"{path}, which {name} reads, is not there")
            continue
        if newer:
            faults.append(f"{name} is older than {path}")
    return faults


def started(text: str) -> float | None:
    """Seconds since the epoch of "Sat 2026-11-21 18:23:05.123456 UTC"; a service without a process has none."""
    words = text.split()
    if len(words) != 4:
        return None
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in words[2] else "%Y-%m-%d %H:%M:%S"
    when = datetime.datetime.strptime(f"{words[1]} {words[2]}", form)
    return (when - datetime.datetime(1970, 1, 1)).total_seconds()
