# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on hosts is Python 3.9, the oldest that a platform of ours has (EL 9)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Filters' alone: they run where Ansible does, whose Python is newer.
CONTROL = ("_aws", "_nvidia", "_slurm_conf")
FILES = [
    path
    for folder in ("plugins/modules", "plugins/module_utils", "roles")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not set(CONTROL) & set(path.parts)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_old_python_can_run_it(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    zips = [call for call in calls if ast.unparse(call.func) == "zip"]
    newer = [call.lineno for call in zips if any(word.arg == "strict" for word in call.keywords)]
    assert newer == [], "zip's strict= came with Python 3.10"
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree)), "match came with Python 3.10"
