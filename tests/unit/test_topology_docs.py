# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way to spread a model has a page with a picture, an entry that the catalogue takes, and how it fails."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import job_problems
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import catalogue_problems

FOLDER = Path(__file__).resolve().parents[2] / "docs/topologies"
PAGES = sorted(page.name for page in FOLDER.glob("*.md") if page.name != "README.md")
_PICTURE = re.compile(r"^#.*\n\n(?: {4}(?!- name:).*\n)+", re.MULTILINE)
_ENTRIES = re.compile(r"^ {4}- name:.*\n(?: {4}.*\n|\n(?= {4}))*", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_picture_its_entry_and_its_faults(page: str) -> None:
    text = (FOLDER / page).read_text()
    assert _PICTURE.match(text)
    assert "How it fails:" in text
    entries = [entry for block in _ENTRIES.findall(text) for entry in yaml.safe_load(textwrap.dedent(block))]
    assert entries
    assert catalogue_problems(entries) == []
    assert job_problems(catalogue_plan(entries), {}) == []


def test_the_overview_leads_to_every_page() -> None:
    assert sorted(set(re.findall(r"\]\(([a-z-]+\.md)\)", (FOLDER / "README.md").read_text()))) == PAGES
