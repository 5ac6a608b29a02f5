# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job scripts of several nodes as rendered, run on one machine: `srun` is a stub that starts each node's part."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import typing as t
from pathlib import Path

import pytest

from tests.unit.test_job_scripts import KEY, Cluster, wait_until

SRUN = """
printf '%s\\0' "$@" >"$ROOT/srun"
while [[ $1 == --* ]]; do [[ $1 != --ntasks=* ]] || tasks=${1#*=}; shift; done
for ((task = 0; task < tasks; task++)); do
    SLURM_PROCID=$task "$@" >"$ROOT/out.$task" 2>&1 &
    pids[task]=$!
done
echo "${pids[@]}" >"$ROOT/step"
status=0
for pid in "${pids[@]}"; do
    wait -n || { status=$?; kill -TERM "${pids[@]}" 2>/dev/null; }
done
cat "$ROOT"/out.*
exit "$status"
"""
IP = """
case $2 in
    address) echo '[{"ifname": "eth7", "flags": ["UP"], "operstate": "UP", "addr_info":
        [{"family": "inet", "scope": "global", "local": "127.0.0.1"}]}]' ;;
    *) echo '[]' ;;
esac
"""
# Each node's engine, with a child that has left its session as engine cores do.
ENGINE = """
printf '%%s\\0' "$@" >"$ROOT/argv.$SLURM_PROCID"; env -0 >"$ROOT/env.$SLURM_PROCID"
cp "$ROOT/jobs/endpoints/42.json" "$ROOT/seen.json" 2>/dev/null
setsid sleep 300 & echo $! >"$ROOT/child.$SLURM_PROCID"
trap '%s' TERM
echo $$ >"$ROOT/pid.$SLURM_PROCID.new"; mv "$ROOT/pid.$SLURM_PROCID.new" "$ROOT/pid.$SLURM_PROCID"
while true; do sleep 0.05; done
"""


class Nodes(Cluster):
    """As many nodes as a job wants, all of them this machine."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, port_moves=True)
        self.stub("stubs/srun", SRUN)
        self.stub("stubs/ip", IP)
        self.stub("stubs/scontrol", 'printf "%s\\n" ${SLURM_JOB_NODELIST//,/ }')
        self.stub("stubs/scancel", 'printf "%s\\0" "$@" >"$ROOT/scancel"; kill -TERM $(cat "$ROOT/step")')
        self.engine_that("exit 0")

    def engine_that(self, on_term: str) -> None:
        self.stub("venv/bin/vllm", ENGINE % on_term)

    def begin(self, **entry: t.Any) -> t.Any:
        nodes = "localhost,gpu2" if entry.get("nodes", 1) == 2 else "localhost"
        script = self.script("serve", {"port": 31900, **entry}, port_range="31900-31999")
        text = script.read_text().splitlines()
        names = f"export SLURM_JOB_NODELIST='{nodes}' SLURM_JOB_NAME=vllm-serve-tiny"
        script.write_text("\n".join([text[0], names, *text[1:]]))
        return self.start(script)

    def pid(self, rank: int, kind: str = "pid") -> int:
        wait_until(self.root / f"{kind}.{rank}")
        return int((self.root / f"{kind}.{rank}").read_text())

    def end(self, process: t.Any) -> tuple[int, str]:
        output, _errors = process.communicate(timeout=30)
        return process.returncode, output


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_two_nodes_are_told_what_belongs_to_each(nodes: Nodes) -> None:
    process = nodes.begin(nodes=2, tensor_parallel_size=2)
    pids = [nodes.pid(0), nodes.pid(1)]
    record = json.loads((nodes.root / "seen.json").read_text())
    process.send_signal(signal.SIGTERM)
    status, output = nodes.end(process)
    assert status == 0, output
    first, other = nodes.words("argv.0"), nodes.words("argv.1")
    master = first[first.index("--master-port") + 1]
    tail = ["--master-addr", "127.0.0.1", "--master-port", master]
    assert first[-12:] == ["--host", "0.0.0.0", "--port", "31900", "--nnodes", "2", "--node-rank", "0", *tail]
    assert other[-9:] == ["--nnodes", "2", "--node-rank", "1", *tail, "--headless"]
    assert "--port" not in other
    for rank in range(2):
        environment = nodes.environment(f"env.{rank}")
        assert environment["VLLM_HOST_IP"] == "127.0.0.1"
        assert environment["NCCL_SOCKET_IFNAME"] == "=eth7"
        assert environment["GLOO_SOCKET_IFNAME"] == "eth7"
        assert environment["VLLM_API_KEY"] == KEY
        assert not [name for name in environment if name.startswith("LLMOPS_")]
    assert KEY not in output
    assert "All 2 links between 2 nodes answer." in output
    assert record == record | {"host": "gpu1", "job_id": "42", "port": 31900, "nodes": ["localhost", "gpu2"]}
    assert record["servers"] == [{"address": "127.0.0.1", "host": "localhost", "port": 31900}]
    assert list(record)[:4] == ["host", "job_id", "started", "state"]
    assert not list((nodes.root / "jobs/endpoints").iterdir())
    assert all(gone(pid) for pid in (*pids, nodes.pid(0, "child"), nodes.pid(1, "child")))


def test_the_others_stay_until_the_first_has_finished_its_requests(nodes: Nodes) -> None:
    nodes.engine_that('[[ $SLURM_PROCID == 1 ]] || sleep 1; date +%s.%N >"$ROOT/ended.$SLURM_PROCID"; exit 0')
    process = nodes.begin(nodes=2)
    nodes.pid(0), nodes.pid(1)
    process.send_signal(signal.SIGTERM)
    status, output = nodes.end(process)
    assert status == 0, output
    ended = [float((nodes.root / f"ended.{rank}").read_text()) for rank in range(2)]
    assert ended[0] < ended[1]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_engine_ends_the_whole_job(nodes: Nodes, rank: int) -> None:
    process = nodes.begin(nodes=2)
    pids = [nodes.pid(0), nodes.pid(1)]
    os.kill(pids[rank], signal.SIGKILL)
    status, output = nodes.end(process)
    assert status != 0, output
    assert all(gone(pid) for pid in (*pids, nodes.pid(0, "child"), nodes.pid(1, "child")))
    assert not list((nodes.root / "jobs/endpoints").iterdir())


def test_a_killed_keeper_takes_its_engine_along(nodes: Nodes) -> None:
    process = nodes.begin(nodes=2)
    pids = [nodes.pid(0), nodes.pid(1)]
    keepers = [int(word) for word in (nodes.root / "step").read_text().split()]
    os.kill(keepers[1], signal.SIGKILL)
    status, output = nodes.end(process)
    assert status != 0, output
    deadline = time.monotonic() + 10
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_replica_takes_another_port_where_its_own_is_busy(nodes: Nodes) -> None:
    with socket.create_server(("", 0)) as server:
        busy = server.getsockname()[1]
        process = nodes.begin(replicas=2, port=busy)
        nodes.pid(0)
        record = json.loads((nodes.root / "seen.json").read_text())
    process.send_signal(signal.SIGTERM)
    status, output = nodes.end(process)
    assert status == 0, output
    assert record["port"] in range(31900, 32000)
    assert nodes.words("argv.0")[-2:] == ["--port", str(record["port"])]
    assert "VLLM_HOST_IP" not in nodes.environment("env.0")


def test_a_server_that_ends_by_itself_has_failed(nodes: Nodes) -> None:
    nodes.stub("venv/bin/vllm", "exit 0")
    status, output = nodes.end(nodes.begin(replicas=2))
    assert status == 70
    assert "The engine ended by itself with status 0, which is what a dead engine does." in output


def test_without_a_key_nothing_is_started(nodes: Nodes) -> None:
    (nodes.root / "key").unlink()
    status, output = nodes.end(nodes.begin(nodes=2))
    # 143 where it heard of the other node before its own look.
    assert status in (78, 143), output
    assert f"Reading the API key from {nodes.root}/key on" in output
    assert not (nodes.root / "argv.0").exists()


def test_a_node_without_the_model_ends_the_job(nodes: Nodes) -> None:
    os.rename(nodes.root / "models", nodes.root / "elsewhere")
    status, output = nodes.end(nodes.begin(nodes=2))
    # 143 where the other node's part heard of it before its own look.
    assert status in (66, 143), output
    assert re.search("The model is not on (localhost|gpu2):", output)
