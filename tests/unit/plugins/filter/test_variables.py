"""The filter that reads the roles' argument specifications."""

from __future__ import annotations

import typing as t
from collections import UserDict
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError, AnsibleUndefinedVariable
from ansible_collections.llmops.cluster.plugins.filter.variables import role_options, type_problems

ROLES = Path(__file__).parents[4] / "roles"


def test_options_of_a_role() -> None:
    options = role_options(["munge"], str(ROLES))
    assert options["munge"]["munge_uid"]["type"] == "int"


def test_role_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="Reading the options of the role munge from"):
        role_options(["munge"], str(tmp_path))


class Hostvars(UserDict[str, t.Any]):
    """Variables of a host, one of which leans on something that is not there yet."""

    def __getitem__(self, name: str) -> t.Any:
        if name == "slurm_settings":
            raise AnsibleUndefinedVariable("'slurm_cluster_name' is undefined")
        return super().__getitem__(name)


def test_a_value_that_leans_on_a_default_of_a_role_is_left_to_that_role() -> None:
    hostvars = {"a": Hostvars(slurm_settings="x", slurm_gid="{{ slurm_uid }}", slurm_uid="many")}
    specs = {"slurm": {"slurm_settings": {"type": "dict"}, "slurm_gid": {"type": "int"}, "slurm_uid": {"type": "int"}}}
    assert type_problems(hostvars, ["a"], specs) == ["slurm_uid: 'many' found; allowed is a whole number. (Set for a.)"]
