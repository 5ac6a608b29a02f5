"""Variables of an inventory against those that the roles know."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._variables import unknown_variables, wrong_types

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
        pytest.param(
            {"a": {"models": "phi3", "model": "phi3", "mode": "0644", "model_dir": "/m"}},
            ["The variable models (set for a) is known to no role. Did you mean model?"],
            id="what would stand for every model",
        ),
        pytest.param({"a": {"munge_phi3_revision": "main"}}, [], id="a known pattern"),
        pytest.param({"a": {"slurmish": 1, "__slurm_key": 1}}, [], id="only the prefix of a role counts"),
    ],
)
def test_unknown_variables(hostvars: dict[str, dict[str, t.Any]], messages: list[str]) -> None:
    assert unknown_variables(hostvars, list(hostvars), KNOWN, ["slurm", "munge"]) == messages


OPTIONS: dict[str, dict[str, t.Any]] = {
    "slurm_settings": {"type": "dict", "default": {}},
    "slurm_flags": {"type": "list", "elements": "str"},
    "slurm_partitions": {"type": "list", "elements": "dict", "required": True},
    "slurm_uid": {"type": "int"},
    "slurm_cgroup": {"type": "str", "choices": ["auto", "off"]},
    "slurm_name": {"type": "str"},
    "slurm_secure": {"type": "bool"},
    "slurm_dir": {"type": "path"},
    "slurm_models": {"type": "raw"},
}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="nothing given, also what is required"),
        pytest.param(
            {"slurm_settings": {}, "slurm_flags": ["--x"], "slurm_partitions": [{"name": "gpu"}]}, id="containers"
        ),
        pytest.param(
            {"slurm_uid": "401", "slurm_secure": "yes", "slurm_name": 7, "slurm_dir": "/x"}, id="text of templates"
        ),
        pytest.param(
            {"slurm_name": None, "slurm_cgroup": "off", "slurm_models": ["any"]}, id="empty text, choice, raw"
        ),
        pytest.param({"other": {}}, id="no option of ours"),
    ],
)
def test_right_types(values: dict[str, t.Any]) -> None:
    assert wrong_types({"a": values}, OPTIONS) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"slurm_settings": ["A=1"]}, "slurm_settings: ['A=1'] (list) found; allowed is a dictionary.", id="list"
        ),
        pytest.param({"slurm_settings": None}, "slurm_settings: nothing found; allowed is a dictionary.", id="nothing"),
        pytest.param({"slurm_settings": "A=1"}, "slurm_settings: 'A=1' found; allowed is a dictionary.", id="pairs"),
        pytest.param(
            {"slurm_flags": "--x"}, "slurm_flags: '--x' found; allowed is a list, each element a text.", id="text"
        ),
        pytest.param(
            {"slurm_partitions": ["gpu"]},
            "slurm_partitions: ['gpu'] (list) found; allowed is a list, each element a dictionary.",
            id="elements",
        ),
        pytest.param({"slurm_uid": "many"}, "slurm_uid: 'many' found; allowed is a whole number.", id="number"),
        pytest.param({"slurm_name": ["a"]}, "slurm_name: ['a'] (list) found; allowed is a text.", id="list for a text"),
        pytest.param({"slurm_secure": "maybe"}, "slurm_secure: 'maybe' found; allowed is true or false.", id="boolean"),
        pytest.param(
            {"slurm_cgroup": False},
            'slurm_cgroup: False (boolean) found; allowed is one of auto, "off".',
            id="a word that YAML takes for a boolean",
        ),
    ],
)
def test_wrong_types(values: dict[str, t.Any], message: str) -> None:
    assert wrong_types({"a": values}, OPTIONS) == [f"{message} (Set for a.)"]


def test_a_value_of_many_hosts_is_told_once_and_no_secret_at_all() -> None:
    bad = {"slurm_settings": ["StoragePass=geheim"]}
    assert wrong_types({"a": bad, "b": bad, "c": {}}, OPTIONS) == [
        "slurm_settings: a value (not shown) found; allowed is a dictionary. (Set for 2 hosts.)"
    ]
