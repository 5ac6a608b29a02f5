# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/catalogue.md and the role's variables say what the schema says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.describe import markdown_table
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import (
    MODEL_KEYS,
    SITE_KEYS,
    SITE_PREFIX,
    Key,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import empty_value

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "catalogue.md"


@pytest.mark.parametrize(
    ("mark", "table", "prefix"),
    [pytest.param("models", MODEL_KEYS, "", id="models"), pytest.param("site", SITE_KEYS, SITE_PREFIX, id="site")],
)
def test_page_holds_the_table(mark: str, table: dict[str, Key], prefix: str) -> None:
    wanted = f"<!-- begin {mark} -->\n{markdown_table(table, prefix)}<!-- end {mark} -->"
    found = re.compile(rf"<!-- begin {mark} -->\n.*?<!-- end {mark} -->", re.DOTALL)
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(found.sub(lambda _match: wanted, PAGE.read_text()))
    assert wanted in PAGE.read_text(), "docs/catalogue.md differs from the schema; run again with UPDATE_GOLDEN=1"


def test_role_defaults_are_those_of_the_schema() -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "vllm_jobs" / "defaults" / "main.yml").read_text())
    assert {name: defaults[SITE_PREFIX + name] for name in SITE_KEYS} == {
        name: empty_value(key) for name, key in SITE_KEYS.items()
    }


def test_role_passes_every_variable_of_the_schema() -> None:
    variables = yaml.safe_load((ROOT / "roles" / "vllm_jobs" / "vars" / "main.yml").read_text())
    assert variables["__vllm_jobs_site"] == {name: f"{{{{ {SITE_PREFIX}{name} }}}}" for name in SITE_KEYS}
