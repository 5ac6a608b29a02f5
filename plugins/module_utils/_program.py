# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program for hosts without Ansible: a package of module_utils and all that it imports, in one file of Python.

The same sources make the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import re
import typing as t
import zipfile
from pathlib import Path

PREFIX = "ansible_collections.llmops.cluster.plugins.module_utils"
# The beginning of the time that a zip file can tell.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"_[a-z][a-z_]*")
_MAIN = """import sys

if sys.version_info < (3, 10):
    sys.exit("vllm-manager needs Python 3.10 or newer; this one is " + sys.version.split()[0] + ".")

from {prefix}.{package}.main import main

sys.exit(main())
"""


class ProgramError(Exception):
    """What was asked for is no program."""


def pack(package: str, root: Path | None = None) -> bytes:
    """The file: a zip of sources, with Python's line at its beginning."""
    folder = root or Path(__file__).parent
    if not _NAME.fullmatch(package) or not (folder / package / "main.py").is_file():
        raise ProgramError(f"{package!r} is no package with a main.py in {folder}")
    sources = collect(package, folder)
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(_files(package, sources).items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


def write(content: bytes, package: str, folder: str) -> str:
    """Under a name of its content: whoever asks twice gets the same file."""
    path = os.path.join(folder, f"{package.strip('_')}-{hashlib.sha256(content).hexdigest()[:16]}.pyz")
    if not os.path.exists(path):
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "wb") as handle:
            handle.write(content)
        os.replace(temporary, path)
    return path


def collect(package: str, folder: Path) -> dict[Path, str]:
    """All sources of the package, and of module_utils what they import, by their paths below module_utils."""
    found: dict[Path, str] = {}
    queue = sorted(path.relative_to(folder) for path in (folder / package).rglob("*.py"))
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found[path] = (folder / path).read_text("utf-8")
        for name in imported(found[path]):
            queue += [one for one in _places(name) if (folder / one).is_file()]
    return found


def imported(source: str) -> set[str]:
    """Names below module_utils that the source imports; what is for type checkers only is not."""
    names: set[str] = set()
    for node in _executed(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PREFIX):
            base = node.module[len(PREFIX) :].lstrip(".")
            names |= {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
    return names


def _executed(node: ast.AST) -> t.Iterator[ast.AST]:
    """All nodes but those behind `if t.TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _executed(child)


def _places(name: str) -> list[Path]:
    """Where a.b.c may be: it is a module, or a name in the module a.b; and the packages on the way."""
    parts = name.split(".")
    places = [Path(*parts).with_suffix(".py")]
    if len(parts) > 1:
        places.append(Path(*parts[:-1]).with_suffix(".py"))
    places += [Path(*parts[:depth]) / "__init__.py" for depth in range(1, len(parts) + 1)]
    return places


def _files(package: str, sources: dict[Path, str]) -> dict[str, str]:
    base = PREFIX.replace(".", "/")
    files = {f"{base}/{path.as_posix()}": text for path, text in sources.items()}
    # An archive has no folders of its own accord, and Python finds packages in it by these.
    for name in [*files]:
        folders = name.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            files.setdefault("/".join([*folders[:depth], "__init__.py"]), "")
    files["__main__.py"] = _MAIN.format(prefix=PREFIX, package=package)
    return files
