# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that starts an engine, run as a job's step runs it, with stand-ins for what is started.

The stand-ins are fakes: a `podman`, a `docker`, an `nsys` and a `viztracer` of a few lines of shell, which write down
what they were given. The real podman and VizTracer are tried on a lab.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[4] / "roles" / "vllm_jobs" / "files" / "llmops_launch"
KEY = "canary-api-key-1b2c"
# Runs what stands behind the image's entry point, as the real one would: inside it is the same user and network.
FAKE_RUNTIME = """
printf '%s\\n' "$*" >>"$ROOT/asked"
[[ $1 == run ]] || exit 0
env >"$ROOT/env.runtime"
while [[ $1 != --entrypoint ]]; do shift; done
shift 3
exec sh "$@"
"""
FAKE_NSYS = """
printf '%s\\n' "$*" >"$ROOT/nsys"
trap 'kill -TERM $child; wait $child; echo report >"$ROOT/report"; exit 0' INT
while [[ $1 != */vllm ]]; do shift; done
"$@" & child=$!
touch "$ROOT/started"
wait $child
"""


class Node:
    """A folder with the fakes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        (root / "key").write_text(KEY)
        self.program("vllm", 'printf "%s\\n" "$@" >"$ROOT/argv"; env >"$ROOT/env"; exit 3')

    def program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "ROOT": str(self.root),
            "SLURM_JOB_ID": "42",
            "SLURM_PROCID": "1",
            "SLURMD_NODENAME": "gpu2",
            "VLLM_API_KEY": KEY,
            "HF_HUB_OFFLINE": "1",
        }
        argv = [sys.executable, "-B", str(PROGRAM), "--name", "tiny", *words]
        # As slurmstepd starts a step. Tests that run in a shell's background have SIGINT ignored, which is inherited.
        return subprocess.Popen(
            argv,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        output, _errors = process.communicate(timeout=120)
        return process.returncode, output

    def engine(self) -> list[str]:
        return ["--", f"{self.root}/bin/vllm", "serve", "lab/tiny"]

    def read(self, name: str) -> str:
        return (self.root / name).read_text()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_torch_is_told_a_folder_of_this_node(node: Node) -> None:
    status, output = node.run("--profiler", "torch", "--profiles", f"{node.root}/profiles", *node.engine())
    folder = f"{node.root}/profiles/tiny_42_gpu2_1"
    assert status == 3, output
    assert f"gpu2 writes its profile to {folder}/\n" in output
    assert node.read("argv").split() == [
        *("serve", "lab/tiny", "--profiler-config.profiler", "torch", "--profiler-config.torch_profiler_dir", folder),
        "--profiler-config.torch_profiler_with_stack=false",
    ]
    assert Path(folder).is_dir()


def test_a_missing_profiler_ends_it_before_the_engine(node: Node) -> None:
    status, output = node.run("--profiler", "viztracer", "--profiles", f"{node.root}/profiles", *node.engine())
    assert status == 69
    assert output == (
        f"Profiling with viztracer on gpu2 failed: {node.root}/bin/viztracer is not there. Add viztracer to "
        "vllm_extra_packages and deploy the engine again, or take profiler out of the entry.\n"
    )
    assert not (node.root / "argv").exists()


def test_nsys_is_interrupted_and_writes_its_report(node: Node) -> None:
    node.program("nsys", FAKE_NSYS)
    node.program("vllm", 'trap "exit 0" TERM; while :; do sleep 0.05; done')
    process = node.start("--profiler", "nsys", "--profiles", f"{node.root}/profiles", *node.engine())
    eventually((node.root / "started").exists)
    process.send_signal(signal.SIGTERM)
    output, _errors = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert node.read("report") == "report\n"
    assert f"--output {node.root}/profiles/tiny_42_gpu2_1 " in node.read("nsys")


def contained(node: Node, runtime: str, *more: str) -> tuple[int, str]:
    node.program(runtime, FAKE_RUNTIME)
    words = ["--runtime", runtime, "--image", "docker.io/vllm/vllm-openai:v0.32.0", "--key-file", f"{node.root}/key"]
    return node.run(*words, *more, "--", "vllm", "serve", "lab/tiny")


@pytest.mark.parametrize("runtime", ["podman", "docker"])
def test_a_container_is_named_by_its_job_and_removed(node: Node, runtime: str) -> None:
    status, output = contained(node, runtime)
    assert status == 3, output
    asked = node.read("asked").splitlines()
    assert [line.split()[0] for line in asked] == ["rm", "run", "rm"]
    assert asked[1].startswith("run --name llmops-42-1 ")
    assert {line.split()[-1] for line in asked if line.startswith("rm")} == {"llmops-42-1"}


def test_the_key_is_not_in_the_words_of_a_container(node: Node) -> None:
    _status, output = contained(node, "podman")
    assert KEY not in node.read("asked")
    assert KEY not in output
    assert f"--volume {node.root}/key:/run/llmops-api-key:ro" in node.read("asked")


def test_an_image_without_the_engine_says_so(node: Node) -> None:
    node.program("podman", FAKE_RUNTIME)
    status, output = node.run("--runtime", "podman", "--image", "lab/empty", "--", "no-such-engine", "serve")
    assert status == 69
    assert "Starting no-such-engine failed: the image has no such program." in output


def test_a_runtime_that_is_not_there(node: Node) -> None:
    process = subprocess.run(
        [
            sys.executable,
            "-B",
            str(PROGRAM),
            *("--name", "tiny", "--runtime", "apptainer", "--image", "/x.sif"),
            "--",
            "vllm",
        ],
        env={"PATH": "/nowhere", "SLURMD_NODENAME": "gpu2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 69
    assert process.stderr == (
        "Starting the engine in apptainer on gpu2 failed: apptainer is not installed there. Run the playbook "
        "build_image.yml, which installs podman, or take runtime out of the entry.\n"
    )


def stopped(node: Node, engine: str, words: Sequence[str] = ()) -> tuple[int, str]:
    node.program("vllm", engine)
    process = node.start(*words, *node.engine())
    eventually((node.root / "started").exists)
    process.send_signal(signal.SIGTERM)
    output, _errors = process.communicate(timeout=120)
    return process.returncode, output


@pytest.mark.parametrize(
    ("engine", "status"),
    [
        pytest.param('trap "exit 0" TERM; touch "$ROOT/started"; while :; do sleep 0.05; done', 0, id="drains"),
        pytest.param('touch "$ROOT/started"; exec sleep 60', 0, id="ended-by-the-signal"),
        pytest.param('trap "exit 5" TERM; touch "$ROOT/started"; while :; do sleep 0.05; done', 5, id="fails"),
    ],
)
def test_what_a_stop_ends_with(node: Node, engine: str, status: int) -> None:
    words = ["--profiler", "torch", "--profiles", f"{node.root}/profiles"]
    assert stopped(node, engine, words)[0] == status


def test_nothing_is_left_of_an_engine_that_leaves_a_child(node: Node) -> None:
    node.program("vllm", 'setsid sleep 300 & echo $! >"$ROOT/left"; exit 1')
    status, _output = node.run("--profiler", "torch", "--profiles", f"{node.root}/profiles", *node.engine())
    assert status == 1
    eventually(lambda: not Path(f"/proc/{node.read('left').strip()}").exists())
