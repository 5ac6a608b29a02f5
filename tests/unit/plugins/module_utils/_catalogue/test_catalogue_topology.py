# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an entry is spread over nodes, and what is refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import job_problems, serve_job
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan

HERE = ["--host", "0.0.0.0", "--port", "{port}"]
JOIN = ["--data-parallel-address", "{first_address}", "--data-parallel-rpc-port", "{first_rpc}"]


def entry(**changes: t.Any) -> dict[str, t.Any]:
    return catalogue_plan([{"name": "m", "model_id": "lab/m", "port": 8000, **changes}])[0]


def job(site: dict[str, t.Any] | None = None, **changes: t.Any) -> dict[str, t.Any]:
    return serve_job(entry(**changes), site or {})


@pytest.mark.parametrize(
    "changes",
    [{}, {"gpus": 4}, {"gpus": 2, "data_parallel_size": 2}, {"data_parallel_size": 2, "backend": "rpc"}],
    ids=["one-gpu", "tensor", "copies", "rpc-on-one-node"],
)
def test_an_engine_whose_port_stays_knows_it(changes: dict[str, t.Any]) -> None:
    found = job({"port_moves": False}, **changes)
    assert (found["template"], found["port_moves"]) == ("serve.sh.j2", False)
    assert found["argv"][3:7] == ["--host", "0.0.0.0", "--port", "8000"]


def test_with_pyxis_a_port_stays() -> None:
    found = job(runtime="pyxis", image="lab/vllm:1")
    assert (found["template"], found["port_moves"]) == ("serve.sh.j2", False)


@pytest.mark.parametrize(
    ("site", "changes"),
    [({}, {}), ({}, {"gpus": 4}), ({"port_moves": False}, {"replicas": 2})],
    ids=["one-gpu", "tensor", "replicas"],
)
def test_a_port_that_is_free_is_looked_for_on_the_node(site: dict[str, t.Any], changes: dict[str, t.Any]) -> None:
    found = job(site, **changes)
    assert (found["template"], found["port_moves"]) == ("serve_nodes.sh.j2", True)
    assert "--port" not in found["argv"]
    assert (found["topology"]["first"], found["topology"]["others"]) == (HERE, [])


def test_multi_node() -> None:
    topology = job(nodes=2, gpus=4, pipeline_parallel_size=2)["topology"]
    every = ["--nnodes", "2", "--node-rank", "{rank}", "--master-addr", "{first_address}"]
    every += ["--master-port", "{first_master}"]
    assert topology["first"] == [*HERE, *every]
    assert topology["others"] == [*every, "--headless"]


def test_data_parallel_with_one_api() -> None:
    topology = job(nodes=2, data_parallel_size=4, backend="rpc")["topology"]
    assert topology["first"] == [*HERE, "--data-parallel-size-local", "2", *JOIN]
    assert topology["others"] == [
        *("--data-parallel-size-local", "2", *JOIN, "--headless", "--data-parallel-start-rank", "{start_rank}")
    ]
    assert topology["settings"] == ["--first-ports", "rpc", "--copies", "2"]


@pytest.mark.parametrize(
    ("balancing", "copies", "words"),
    [
        pytest.param(
            "hybrid",
            4,
            [
                "--data-parallel-hybrid-lb",
                "--data-parallel-size-local",
                "2",
                "--data-parallel-start-rank",
                "{start_rank}",
            ],
            id="hybrid",
        ),
        pytest.param("external", 2, ["--data-parallel-rank", "{rank}"], id="external"),
    ],
)
def test_an_api_on_each_node(balancing: str, copies: int, words: list[str]) -> None:
    found = job(nodes=2, data_parallel_size=copies, backend="rpc", data_parallel_balancing=balancing)
    assert found["topology"]["first"] == found["topology"]["others"] == [*HERE, *words, *JOIN]
    assert found["program"][-2:] == ["--servers", "every"]


def test_ray_has_its_own_folder_and_ports_and_stops_nobody_else() -> None:
    topology = job(nodes=2, gpus=4, backend="ray")["topology"]
    words = [*topology["beside"], *topology["instead"]]
    assert "stop" not in words
    assert topology["beside"][topology["beside"].index("--temp-dir") + 1] == "/tmp/ray-{job}"
    ports = [words[index + 1] for index, word in enumerate(words) if word.endswith("-port") and word != "--port"]
    assert all(port == "0" or port.startswith("{") for port in ports)
    assert topology["first"] == [*HERE, "--distributed-executor-backend", "ray"]


def test_copies_in_a_ray() -> None:
    assert job(nodes=2, data_parallel_size=2, backend="ray")["topology"]["first"][4:] == [
        *("--distributed-executor-backend", "ray", "--data-parallel-backend", "ray", "--data-parallel-size-local", "1"),
        *("--data-parallel-address", "{first_address}"),
    ]


@pytest.mark.parametrize(
    ("site", "changes", "expected"),
    [
        ({}, {"interface": "ib*"}, "ib*"),
        ({"interface": "eth0"}, {}, "eth0"),
        ({"interface": "eth0"}, {"interface": "10.1.0.0/16,ib1"}, "10.1.0.0/16,ib1"),
    ],
    ids=["entry", "site", "entry-before-site"],
)
def test_interface(site: dict[str, t.Any], changes: dict[str, t.Any], expected: str) -> None:
    program = job(site, nodes=2, **changes)["program"]
    assert program[program.index("--interface") + 1] == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"nodes": 2, "data_parallel_size": 2},
            "backend: mp found; allowed with data_parallel_size 2 over 2 nodes is rpc or ray",
            id="copies-without-rpc",
        ),
        pytest.param(
            {"nodes": 2, "backend": "rpc"},
            "backend: rpc found; allowed is mp, or rpc with data_parallel_size of at least 2",
            id="rpc-without-copies",
        ),
        pytest.param(
            {"nodes": 4, "data_parallel_size": 2, "backend": "rpc", "tensor_parallel_size": 2},
            "data_parallel_size: 2 found; allowed on 4 nodes is a multiple of 4: a copy over several nodes is not in "
            "this release",
            id="copy-over-nodes",
        ),
        pytest.param(
            {"data_parallel_balancing": "hybrid"},
            "data_parallel_balancing: hybrid found; allowed is internal, or hybrid with backend: rpc on several nodes",
            id="balancing-of-one",
        ),
        pytest.param(
            {"nodes": 2, "data_parallel_size": 4, "backend": "rpc", "data_parallel_balancing": "external"},
            "data_parallel_balancing: external found; allowed is hybrid, or external with data_parallel_size 2, a copy "
            "on each node: a server of its own for each copy needs a node of its own here",
            id="two-servers-on-a-node",
        ),
    ],
)
def test_what_would_hang_or_be_something_else_is_refused(changes: dict[str, t.Any], message: str) -> None:
    assert job_problems([entry(**changes)], {}) == [f"Rendering the job of m failed: {message}."]
