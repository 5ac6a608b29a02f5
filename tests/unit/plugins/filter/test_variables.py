"""The filter that reads the roles' argument specifications."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.cluster.plugins.filter.variables import role_options

ROLES = Path(__file__).parents[4] / "roles"


def test_options_of_a_role() -> None:
    options = role_options(["munge"], str(ROLES))
    assert options["munge"]["munge_uid"]["type"] == "int"


def test_role_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="Reading the options of the role munge from"):
        role_options(["munge"], str(tmp_path))
