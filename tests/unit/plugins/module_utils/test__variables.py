"""Variables of an inventory against those that the roles know."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._variables import spec_of_given, unknown_variables

KNOWN = ["slurm_version", "slurm_partitions", "munge_uid", "munge_*_revision"]


@pytest.mark.parametrize(
    ("hostvars", "messages"),
    [
        pytest.param({"a": {"slurm_version": "1", "other_thing": 1}}, [], id="all known, others left alone"),
        pytest.param(
            {"a": {"slurm_verison": "1"}},
            ["The variable slurm_verison (set for a) is known to no role. Did you mean slurm_version?"],
            id="a slip of the pen, the near one named",
        ),
        pytest.param(
            {"a": {"munge_xyz_q": 1}, "b": {"munge_xyz_q": 1}},
            [
                "The variable munge_xyz_q (set for 2 hosts) is known to no role. "
                "Name your own variables otherwise, or list them in preflight_known_variables."
            ],
            id="nothing near, on two hosts",
        ),
        pytest.param({"a": {"munge_phi3_revision": "main"}}, [], id="a known pattern"),
        pytest.param({"a": {"slurmish": 1, "__slurm_key": 1}}, [], id="only the prefix of a role counts"),
    ],
)
def test_unknown_variables(hostvars: dict[str, dict[str, t.Any]], messages: list[str]) -> None:
    assert unknown_variables(hostvars, list(hostvars), KNOWN, ["slurm", "munge"]) == messages


def test_spec_of_given_demands_nothing() -> None:
    options = {"slurm_uid": {"type": "int", "default": 401}, "slurm_name": {"type": "str", "required": True}}
    assert spec_of_given(options) == {"slurm_uid": {"type": "int"}, "slurm_name": {"type": "str"}}
    assert options["slurm_uid"]["default"] == 401, "the input is left as it was"
