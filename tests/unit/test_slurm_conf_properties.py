"""What must hold of Slurm's configuration whatever is in it: host lists come back, order changes nothing, no value
breaks out of its line, and alike nodes stay on one line."""

from __future__ import annotations

import os
import string
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import expand_hostlist, hostlist
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import FILES, NODE_KEYS, PARTITION_KEYS
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import merge, slurm_ini
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import gres_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.problems import problems
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.tables import ELSEWHERE
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("LLMOPS_EXAMPLES", "200"))
settings.register_profile("llmops", max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
settings.load_profile("llmops")

NEEDED = {"ClusterName": "lab", "SlurmctldHost": "ctl"}
PREFIXES = st.sampled_from(["n", "gpu-", "rack1-n", "ip-10-0-", "a0b"])
NAMES = st.one_of(
    st.tuples(PREFIXES, st.integers(0, 1200), st.integers(1, 5)).map(lambda x: f"{x[0]}{x[1]:0{x[2]}d}"),
    st.text(string.ascii_lowercase, min_size=1, max_size=6).filter(lambda name: name not in ("all", "default")),
)
MODELS = st.fixed_dictionaries(
    {},
    optional={
        "cpus": st.sampled_from([8, 16]),
        "real_memory": st.integers(1, 2**21),
        "gres": st.sampled_from(["gpu:l4:2", "gpu:a100:8", ["gpu:l4:1", "gpu:t4:3"]]),
        "weight": st.integers(0, 9),
        "features": st.lists(st.sampled_from(["l4", "efa", "nvme"]), max_size=2, unique=True),
    },
)
NODES = st.dictionaries(NAMES, MODELS, min_size=1, max_size=25).map(
    lambda found: [{"name": name, **model} for name, model in found.items()]
)
# Characters of any kind, those that end a line or a value in front.
NASTY = st.text(
    st.one_of(st.sampled_from("\n\r\0#\"' \t=,\x85\u2028"), st.characters(exclude_categories=["Cs"])), max_size=12
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=2),
    max_leaves=5,
)
SETTING = st.sampled_from(sorted({*FILES["slurm.conf"]} - {*ELSEWHERE}))


@given(st.sets(NAMES, max_size=60))
def test_host_lists_come_back(names: set[str]) -> None:
    text = hostlist(sorted(names))
    assert set(expand_hostlist(text)) == names
    assert hostlist(expand_hostlist(text)) == text
    assert len(text) <= len(",".join(names)) + 2 * len(names)


@given(NODES, st.randoms(use_true_random=False))
def test_order_changes_nothing(nodes: list[dict[str, Any]], source: Any) -> None:
    partitions = [{"name": "p", "nodes": [node["name"] for node in nodes]}]
    shuffled = source.sample(nodes, len(nodes))
    turned = [dict(reversed(node.items())) for node in shuffled]
    assert slurm_conf(NEEDED, turned, partitions) == slurm_conf(NEEDED, nodes, partitions)
    assert gres_conf(turned) == gres_conf(nodes)


@given(NODES)
def test_each_node_has_one_line_and_alike_ones_the_same(nodes: list[dict[str, Any]]) -> None:
    lines = [line for line in slurm_conf(NEEDED, nodes, []).splitlines() if line.startswith("NodeName=")]
    named = [name for line in lines for name in expand_hostlist(line.split()[0].split("=", 1)[1])]
    assert sorted(named) == sorted(node["name"] for node in nodes)
    assert len({line.split(" ", 1)[-1] if " " in line else "" for line in lines}) == len(lines)


@given(st.integers(1, 6), st.integers(0, 9999), st.integers(1, 10_000))
def test_alike_nodes_are_small_however_many(width: int, first: int, count: int) -> None:
    nodes = [{"name": f"n{first + number:0{width}d}", "cpus": 8} for number in range(min(count, 500))]
    assert len(slurm_conf(NEEDED, nodes, [{"name": "p", "nodes": [node["name"] for node in nodes]}])) < 4096


def lines_of(text: str) -> list[str]:
    # As Slurm reads a file: lines end with a line feed, and "#" begins a comment.
    return [line for line in text.split("\n") if line and not line.startswith("#")]


@given(SETTING, ANY)
def test_a_setting_stays_on_its_line(key: str, value: Any) -> None:
    before = slurm_conf(NEEDED, [], [])
    try:
        text = slurm_conf({**NEEDED, key: value}, [], [])
    except SlurmConfError:
        return
    new = [line for line in lines_of(text) if line not in lines_of(before)]
    assert all(line.startswith(f"{key}=") and "#" not in line for line in new)


@given(
    st.sampled_from(sorted({*NODE_KEYS} - {"Gres"})), ANY, st.sampled_from(sorted({*PARTITION_KEYS} - {"Nodes"})), ANY
)
def test_nodes_and_partitions_stay_on_their_lines(node_key: str, one: Any, partition_key: str, other: Any) -> None:
    try:
        text = slurm_conf(NEEDED, [{"name": "n1", node_key: one}], [{"name": "p", partition_key: other}])
    except SlurmConfError:
        return
    assert [line.split("=")[0] for line in lines_of(text)].count("NodeName") == 1
    assert text.count("PartitionName=") == 1


@given(st.sampled_from(["cgroup.conf", "slurmdbd.conf"]), ANY, st.data())
def test_files_of_settings_stay_on_their_lines(name: str, value: Any, data: Any) -> None:
    key = data.draw(st.sampled_from(sorted(FILES[name])))
    try:
        text = slurm_ini({key: value}, name)
    except SlurmConfError:
        return
    assert text.count("\n") == (value is not None)


@given(
    st.dictionaries(SETTING | NASTY, ANY, max_size=3),
    st.lists(ANY, max_size=2),
    st.dictionaries(NASTY, ANY, max_size=2),
)
def test_the_checks_never_break_and_agree_with_rendering(
    given_settings: dict[Any, Any], partitions: list[Any], node: dict[Any, Any]
) -> None:
    """Whatever a variable holds, the answer is a list of sentences; where it is empty, rendering works."""
    variables = {"settings": given_settings, "partitions": partitions, "compute_hosts": ["n1"], "version": "26.05.4"}
    found = problems({"n1": {"slurm_node_settings": node}}, variables)
    assert all(isinstance(line, str) and line for line in found)
    if not found:
        slurm_conf(merge(NEEDED, given_settings), [{"name": "n1", **node}], partitions, None, "26.05.4")


@pytest.mark.parametrize("file", sorted(FILES))
def test_no_two_keys_are_one_to_slurm(file: str) -> None:
    names = [key.lower() for key in FILES[file]]
    assert len(names) == len(set(names))
