# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job scripts as rendered: golden files, bash, shellcheck, and what the engine really receives.

The scripts run with stubs on PATH: `srun` runs its command as a job step would, `vllm` writes down what it was given.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import FilterModule as CoreFilters
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import batch_job, serve_job
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.words import sh_lines, sh_word

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "roles" / "vllm_jobs" / "templates"
GOLDEN = Path(__file__).parent / "golden"
BATCH_ENGINE = Path(__file__).parent / "roles" / "vllm_jobs" / "fake_batch_engine.py"
KEY = "canary-api-key-7f3a"
BUILDERS = {"serve": serve_job, "batch": batch_job}

PIPELINE = {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}
ADAPTERS = {
    "sql": {"model_id": "lab/sql-lora", "revision": "f39ac1d28e925b323eae81227eaba4464caced4e"},
    "poems": {"path": "/srv/adapters/poems"},
}
TUNED = {"optimization_level": 1, "cudagraph_capture_sizes": [1, 2, 4]}
IMAGE = {"runtime": "podman", "image": "docker.io/vllm/vllm-openai:v0.32.0"}
HYBRID = {"data_parallel_size": 4, "backend": "rpc", "data_parallel_balancing": "hybrid"}

ENTRIES: dict[str, tuple[dict[str, t.Any], dict[str, t.Any]]] = {
    "phi3": (
        {
            "name": "phi3",
            "model_id": "microsoft/Phi-3-mini-4k-instruct",
            "revision": "f39ac1d28e925b323eae81227eaba4464caced4e",
            "max_model_len": 4096,
            "gpu_memory_utilization": 0.85,
            "port": 8000,
        },
        {},
    ),
    "four-gpus": (
        {
            "name": "four-gpus",
            "model_id": "Qwen/Qwen2.5-32B-Instruct",
            "gpus": 4,
            "port": 8002,
            "time": "12:00:00",
            "account": "llm",
            "mem": "128G",
            "served_model_name": ["qwen"],
            "env": {"NOTE": "it's two\nlines"},
            "limit_mm_per_prompt": {"image": 2},
            "extra_args": ["--override-generation-config", '{"top_k": 2}'],
        },
        {"gres": "gpu:l4", "requeue": False},
    ),
    "cpu": (
        {"name": "cpu", "model_id": "lab/tiny", "port": 8003, "max_model_len": 256},
        {
            "device": "cpu",
            "cpus_per_task": 1,
            "api_key_file": "",
            "port_moves": False,
            "engine_args": ["--enforce-eager"],
        },
    ),
    "replicas": (
        {"name": "two", "model_id": "lab/tiny", "port": 8004, "replicas": 2},
        {"cache_dir": "/var/cache/vllm"},
    ),
    "adapters": (
        {"name": "phi3", "model_id": "lab/tiny", "port": 8008, "lora_adapters": ADAPTERS, "max_lora_rank": 32},
        {"cache_dir": "/var/cache/vllm", "cache_seed_dir": "/home/vllm/compiled"},
    ),
    "embedder": (
        {"name": "bge", "model_id": "lab/tiny", "port": 8009, "runner": "pooling", "convert": "embed", **TUNED},
        {},
    ),
    "multi-node": (
        {"name": "maverick", "model_id": "lab/maverick", "port": 8005, "gpus": 4, "nodes": 2, **PIPELINE},
        {"interface": "ib*", "cache_dir": "/var/cache/vllm", "cache_seed_dir": "/home/vllm/compiled"},
    ),
    "rpc": (
        {"name": "moe", "model_id": "lab/moe", "port": 8006, "nodes": 2, "data_parallel_size": 4, "backend": "rpc"},
        {},
    ),
    "hybrid": (
        {"name": "moe", "model_id": "lab/moe", "port": 8006, "nodes": 2, **HYBRID, "expert_parallel": True},
        {},
    ),
    "torch": ({"name": "tiny", "model_id": "lab/tiny", "port": 8008, "profiler": "torch"}, {}),
    "viztracer": ({"name": "tiny", "model_id": "lab/tiny", "port": 8008, "profiler": "viztracer"}, {"device": "cpu"}),
    "nsys-nodes": (
        {
            "name": "maverick",
            "model_id": "lab/maverick",
            "port": 8005,
            "gpus": 4,
            "nodes": 2,
            **PIPELINE,
            "profiler": "nsys",
        },
        {},
    ),
    "podman": (
        {"name": "tiny", "model_id": "lab/tiny", "port": 8009, "gpus": 2, **IMAGE, "env": {"NOTE": "two\nlines"}},
        {"cache_dir": "/var/cache/vllm", "container_mounts": ["/fsx"]},
    ),
    "podman-nodes": (
        {"name": "moe", "model_id": "lab/moe", "port": 8006, "nodes": 2, **HYBRID, **IMAGE, "profiler": "torch"},
        {"preflight": "collective"},
    ),
    "docker": ({"name": "tiny", "model_id": "lab/tiny", "port": 8009, **IMAGE, "runtime": "docker"}, {}),
    "apptainer": (
        {"name": "tiny", "model_id": "lab/tiny", "port": 8009, "runtime": "apptainer", "image": "/fsx/vllm.sif"},
        {},
    ),
    "pyxis": ({"name": "tiny", "model_id": "lab/tiny", "port": 8009, **IMAGE, "runtime": "pyxis"}, {}),
    "ray": ({"name": "llama", "model_id": "lab/llama", "port": 8007, "gpus": 4, "nodes": 2, "backend": "ray"}, {}),
}


def render(kind: str, job: dict[str, t.Any]) -> str:
    """The template as ansible.builtin.template would render it."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(  # noqa: S701 - shell, not HTML
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["comment"] = CoreFilters().filters()["comment"]
    environment.filters["llmops.cluster.sh_word"] = sh_word
    environment.filters["llmops.cluster.sh_lines"] = sh_lines
    template = job.get("template", f"{kind}.sh.j2")
    return environment.get_template(template).render(__vllm_jobs_job=job, ansible_managed="Ansible managed")


def job_of(kind: str, entry: dict[str, t.Any], site: dict[str, t.Any]) -> dict[str, t.Any]:
    return BUILDERS[kind](catalogue_plan([entry])[0], site)


CASES = [
    pytest.param(kind, name, id=f"{kind}-{name}")
    for kind, name in itertools.product(BUILDERS, ENTRIES)
    # What runs on each of several nodes is shown by the serving script alone.
    if kind == "serve" or name in ("phi3", "four-gpus", "cpu", "adapters", "podman")
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_golden(kind: str, name: str) -> None:
    text = render(kind, job_of(kind, *ENTRIES[name]))
    path = GOLDEN / f"{kind}_{name}.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; run again with UPDATE_GOLDEN=1 if that is wanted"


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_bash_and_shellcheck_accept_it(kind: str, name: str, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text(render(kind, job_of(kind, *ENTRIES[name])))
    subprocess.run(["bash", "-n", script], check=True)
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    found = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert found.stdout == ""


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_sbatch_line_precedes_the_first_command(kind: str, name: str) -> None:
    lines = render(kind, job_of(kind, *ENTRIES[name])).splitlines()
    header = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert [line for line in lines if "#SBATCH" in line] == [line for line in header if line.startswith("#SBATCH --")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A folder with the stubs and the things a job script expects on a node."""

    def __init__(self, root: Path, *, port_moves: bool) -> None:
        self.root = root
        self.port = free_port()
        self.site = {
            "port_moves": port_moves,
            "venv": f"{root}/venv",
            "models_dir": f"{root}/models",
            "dir": f"{root}/jobs",
            "api_key_file": f"{root}/key",
        }
        for folder in ("venv/bin", "stubs", "jobs/outputs", "jobs/endpoints", "models/models--lab--tiny/snapshots"):
            (root / folder).mkdir(parents=True)
        (root / "key").write_text(f"{KEY}\n")
        (root / "venv/bin/python").symlink_to(sys.executable)
        for program in ("llmops_batch", "llmops_cache", "llmops_node"):
            (root / "jobs" / program).symlink_to(TEMPLATES.parent / "files" / program)
        # The step's shell gets signals from Slurm alone, so scancel goes to it and not to the script.
        self.stub(
            "stubs/srun",
            'printf "%s\\0" "$@" >"$ROOT/srun"; env -0 >"$ROOT/srun.env"\n'
            'while [[ $1 == --* ]]; do shift; done\n"$@" &\necho $! >"$ROOT/step"\nwait $!',
        )
        self.stub("stubs/scancel", 'printf "%s\\0" "$@" >"$ROOT/scancel"; kill -TERM "$(cat "$ROOT/step")"')
        self.engine("exit 0")

    def stub(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def engine(self, then: str) -> None:
        """vllm writes down its words and environment, then does this."""
        self.stub("venv/bin/vllm", f'printf "%s\\0" "$@" >"$ROOT/argv"; env -0 >"$ROOT/env"\n{then}')

    def script(self, kind: str, entry: dict[str, t.Any], **site: t.Any) -> Path:
        path = self.root / f"{kind}.sh"
        found = {"name": "tiny", "model_id": "lab/tiny", "port": self.port, **entry}
        path.write_text(render(kind, job_of(kind, found, {**self.site, **site})))
        return path

    def start(self, script: Path, *words: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self.root}/stubs:/usr/bin:/bin",
            "ROOT": str(self.root),
            "SLURM_JOB_ID": "42",
            "SLURM_JOB_NAME": "vllm-serve-tiny",
            "SLURM_JOB_NODELIST": "gpu1",
            "SLURM_CPUS_PER_TASK": "3",
            "SLURMD_NODENAME": "gpu1",
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.Popen(
            ["bash", script, *words], cwd=self.root, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT
        )

    def run(self, script: Path, *words: str) -> tuple[int, str]:
        process = self.start(script, *words)
        output, _errors = process.communicate(timeout=120)
        return process.returncode, output

    def words(self, name: str) -> list[str]:
        return (self.root / name).read_bytes().decode().split("\0")[:-1]

    def environment(self, name: str = "env") -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.words(name) if "=" in word)


@pytest.fixture(params=[True, False], ids=["port-moves", "port-stays"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    return Cluster(tmp_path, port_moves=request.param)


def nasty_values(count: int) -> list[str]:
    """Values that hurt careless quoting: fixed ones, then mixtures of their pieces."""
    harm = "touch canary"
    pieces = [
        *(f"$({harm})", f"`{harm}`", f";{harm};", f"|{harm}", f"&{harm}&", ">canary", f"\n{harm}\n", f"'$({harm})'"),
        *(f"\n#SBATCH --wrap='{harm}'\n", f"\\$({harm})", "EOF\n", "$'\\x41'", "{{ 7*7 }}", "{% raw %}", "a" * 5000),
        *(
            "'",
            '"',
            "\\",
            "\\n",
            "$HOME",
            "${PATH}",
            "!!",
            "*",
            "?",
            "[0]=x",
            "~",
            "#",
            "--",
            "-",
            "=",
            "%j",
            " ",
            "  ",
        ),
        *("\t", "\r", "\x01", "\x7f", "größe", "日本語", "🙂"),
    ]
    source = random.Random(4)
    mixed = ["".join(source.choice(pieces) for _index in range(source.randrange(1, 7))) for _round in range(count)]
    return [*pieces, *mixed][:count]


def test_engine_receives_200_nasty_values_and_nothing_else_runs(cluster: Cluster) -> None:
    cluster.engine("exit 3")
    for start in range(0, 200, 20):
        values = nasty_values(200)[start : start + 20]
        words = list(itertools.chain.from_iterable(("--option", value) for value in values))
        environment = {f"VALUE_{index}": value for index, value in enumerate(values)}
        status, output = cluster.run(cluster.script("serve", {"extra_args": words, "env": environment}))
        assert status == 3, output
        # Where it listens may come last.
        argv = cluster.words("argv")
        begin = argv.index("--option")
        assert argv[begin : begin + len(words)] == words
        seen = cluster.environment()
        assert {name: seen[name] for name in environment} == environment
    assert not list(cluster.root.rglob("canary"))


def test_batch_engine_receives_nasty_values_and_file_names(cluster: Cluster) -> None:
    cluster.engine(f'exec "{sys.executable}" "{BATCH_ENGINE}" "$ROOT/asked" --uds "${{@: -1}}"')
    words = list(itertools.chain.from_iterable(("--option", value) for value in nasty_values(40)))
    requests = cluster.root / "$(touch canary) 'in'.jsonl"
    wanted = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "b"}}
    requests.write_text(json.dumps(wanted) + "\n")
    answers = cluster.root / "`touch canary`.jsonl"
    script = cluster.script("batch", {"extra_args": words})
    status, output = cluster.run(script, str(requests), str(answers))
    assert status == 0, output
    argv = cluster.words("argv")
    assert argv[:2] == ["serve", "lab/tiny"]
    assert argv[-len(words) - 2 : -1] == [*words, "--uds"]
    assert json.loads(answers.read_text())["response"]["body"]["choices"] == [{"text": "to b"}]
    assert not list(cluster.root.rglob("canary"))


def test_serving_gives_the_engine_what_was_decided(cluster: Cluster) -> None:
    cluster.engine('cp "$ROOT/jobs/endpoints/42.json" "$ROOT/seen.json"; exit 3')
    status, output = cluster.run(cluster.script("serve", {}))
    assert status == 3, output
    listens = ["--host", "0.0.0.0", "--port", str(cluster.port)]
    before, after = ([], listens) if cluster.site["port_moves"] else (listens, [])
    assert cluster.words("argv") == [
        *("serve", "lab/tiny", *before, "--served-model-name", "lab/tiny", "tiny"),
        *("--revision", "main", "--dtype", "auto", "--gpu-memory-utilization", "0.9", "--tensor-parallel-size", "1"),
        *("--shutdown-timeout", "20", *after),
    ]
    environment = cluster.environment()
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["SRUN_CPUS_PER_TASK"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in environment
    record = json.loads((cluster.root / "seen.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("started"))
    here = {"host": "gpu1", "address": "gpu1", "port": cluster.port}
    assert record == {
        **({"nodes": ["gpu1"], "servers": [here]} if cluster.site["port_moves"] else {}),
        "host": "gpu1",
        "job_id": "42",
        "job_name": "vllm-serve-tiny",
        "model_id": "lab/tiny",
        "models": ["lab/tiny", "tiny"],
        "name": "tiny",
        "port": cluster.port,
        "revision": "main",
        "state": "running",
    }
    assert not list((cluster.root / "jobs/endpoints").iterdir())


def test_the_key_is_in_the_engine_and_nowhere_else(cluster: Cluster) -> None:
    script = cluster.script("serve", {})
    _status, output = cluster.run(script)
    assert cluster.environment()["VLLM_API_KEY"] == KEY
    for place in (
        script.read_text(),
        output,
        *cluster.words("srun"),
        *cluster.words("srun.env"),
        *cluster.words("argv"),
    ):
        assert KEY not in place


def test_without_a_key_file_no_key_is_wanted(cluster: Cluster) -> None:
    cluster.engine("exit 3")
    status, output = cluster.run(cluster.script("serve", {}, api_key_file=""))
    assert status == 3, output
    assert "VLLM_API_KEY" not in cluster.environment()


@pytest.mark.parametrize("content", [None, "", "\n"], ids=["missing", "empty", "blank"])
def test_a_missing_key_stops_the_job_before_the_engine(cluster: Cluster, content: str | None) -> None:
    (cluster.root / "key").unlink()
    if content is not None:
        (cluster.root / "key").write_text(content)
    status, output = cluster.run(cluster.script("serve", {}))
    assert status == 78
    assert f"Reading the API key from {cluster.root}/key on" in output
    assert not (cluster.root / "argv").exists()


def test_a_missing_model_stops_the_job(cluster: Cluster) -> None:
    shutil.rmtree(cluster.root / "models")
    status, output = cluster.run(cluster.script("serve", {}))
    assert status == 66
    assert "The model is not on gpu1:" in output


def test_an_engine_that_ends_by_itself_with_0_fails_the_job(cluster: Cluster) -> None:
    status, output = cluster.run(cluster.script("serve", {}))
    assert status == 70
    assert "The engine ended by itself with status 0, which is what a dead engine does." in output


def test_outside_a_job_it_tells_to_use_sbatch(cluster: Cluster) -> None:
    script = cluster.script("serve", {})
    found = subprocess.run(["bash", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert "SLURM_JOB_ID: is not set: submit this script with sbatch" in found.stderr


def wait_until(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


# The engine finishes what it is doing when asked to stop, and then ends with this status.
DRAINING = """
trap 'sleep 0.2; echo drained; exit %d' TERM
touch "$ROOT/ready"
while true; do sleep 0.05; done
"""


@pytest.mark.parametrize(("ends_with", "status"), [(0, 0), (143, 0), (1, 1)], ids=["clean", "by-the-signal", "failing"])
def test_term_reaches_the_engine_through_slurm_and_is_waited_for(cluster: Cluster, ends_with: int, status: int) -> None:
    cluster.engine(DRAINING % ends_with)
    process = cluster.start(cluster.script("serve", {}))
    wait_until(cluster.root / "ready")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output, _errors = process.communicate(timeout=120)
    assert "drained" in output
    assert "ended by itself" not in output
    assert process.returncode == status
    assert cluster.words("scancel") == ["--quiet", "--signal=TERM", "42"]


def test_a_scancel_that_does_not_come_back_holds_nothing_up(cluster: Cluster) -> None:
    """As of a job that goes back into the queue: Slurm has told the step itself, and refuses whatever scancel asks."""
    cluster.stub("stubs/scancel", "exec sleep 60 >/dev/null 2>&1")
    cluster.engine(DRAINING % 0)
    process = cluster.start(cluster.script("serve", {}))
    wait_until(cluster.root / "ready")
    process.send_signal(signal.SIGTERM)
    os.kill(int((cluster.root / "step").read_text()), signal.SIGTERM)
    output, _errors = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert not list((cluster.root / "jobs/endpoints").iterdir())


def test_term_to_the_step_alone_is_a_stop_too(cluster: Cluster) -> None:
    cluster.engine(DRAINING % 0)
    process = cluster.start(cluster.script("serve", {}))
    wait_until(cluster.root / "ready")
    os.kill(int((cluster.root / "step").read_text()), signal.SIGTERM)
    output, _errors = process.communicate(timeout=120)
    assert process.returncode == 0, output


def test_a_missing_adapter_stops_the_job(cluster: Cluster) -> None:
    adapters = {"sql": {"path": "/srv/sql"}}
    status, output = cluster.run(cluster.script("serve", {"lora_adapters": adapters}))
    assert status == 66
    assert "A LoRA adapter is not on gpu1: /srv/sql/adapter_config.json cannot be read." in output
    assert not (cluster.root / "argv").exists()


# An engine that compiles one file, listens, and goes on until the shared file is there, or for a while.
COMPILING = """
sleep 1
mkdir -p "$TORCHINDUCTOR_CACHE_DIR"
date >"$TORCHINDUCTOR_CACHE_DIR/kernel.so"
exec {python} -c '
import http.server, pathlib, time, threading
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", {port}), Health)
threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
end = time.monotonic() + {seconds}
while time.monotonic() < end and not list(pathlib.Path("{seeds}").rglob("[!.]*.tar")):
    time.sleep(0.05)
time.sleep(0.1)
raise SystemExit(3)
'
"""


def test_what_one_node_compiles_another_one_finds(cluster: Cluster) -> None:
    seeds = cluster.root / "compiled"
    words = {"python": sys.executable, "port": cluster.port, "seconds": 15, "seeds": seeds}
    cluster.engine(COMPILING.format(**words))
    said = []
    for node in ("one", "two", "two"):
        site = {"cache_dir": f"{cluster.root}/{node}", "cache_seed_dir": str(seeds)}
        status, output = cluster.run(cluster.script("serve", {}, **site))
        assert status == 3, output
        said.append([line for line in output.splitlines() if line.startswith("compile cache:")])
    assert said[0] == [
        "compile cache: cold",
        "compile cache: ready with 1 file, 1 of them made by this start; kept for other nodes",
    ]
    assert said[1][0] == "compile cache: hit (1 file, seeded)"
    assert said[2][0] == "compile cache: hit (1 file, from this node)"
    (seed,) = seeds.rglob("*.tar")
    assert seed.name == "lab--tiny.tar"
    # By engine and hardware.
    assert len(seed.relative_to(seeds).parts) == 3


def test_a_cache_that_cannot_be_is_no_reason_to_fail(cluster: Cluster) -> None:
    cluster.engine("exit 3")
    (cluster.root / "file").touch()
    site = {"cache_dir": f"{cluster.root}/file", "cache_seed_dir": f"{cluster.root}/file"}
    status, output = cluster.run(cluster.script("serve", {}, **site))
    assert status == 3, output
    assert "compile cache: cold" in output
    (cluster.root / "jobs/llmops_cache").unlink()
    status, output = cluster.run(cluster.script("serve", {}, **site))
    assert status == 3, output


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        pytest.param((), 64, "Usage: sbatch batch_tiny.sh REQUESTS.jsonl [ANSWERS.jsonl]", id="no-file"),
        pytest.param(("a", "b", "c"), 64, "Usage: sbatch", id="too-many"),
        pytest.param(("none.jsonl",), 66, "The file of requests none.jsonl cannot be read", id="unreadable"),
    ],
)
def test_batch_says_how_it_is_called(cluster: Cluster, words: tuple[str, ...], status: int, message: str) -> None:
    found, output = cluster.run(cluster.script("batch", {}), *words)
    assert found == status
    assert message in output


def test_a_failing_batch_leaves_no_answers(cluster: Cluster) -> None:
    cluster.engine("exit 5")
    wanted = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "b"}}
    (cluster.root / "in.jsonl").write_text(json.dumps(wanted) + "\n")
    status, output = cluster.run(cluster.script("batch", {}), "in.jsonl", "out.jsonl")
    assert status == 70
    assert "The engine ended with status 5 while it was starting." in output
    assert not (cluster.root / "out.jsonl").exists()


def test_the_shipped_catalogue_can_be_planned() -> None:
    variables = yaml.safe_load((ROOT / "group_vars" / "vllm.yml").read_text())
    models = [{**model, "revision": variables[model["revision"][3:-3]]} for model in variables["vllm_models"]]
    plan = catalogue_plan(models, variables["vllm_defaults"])
    assert [(entry["name"], entry["port"]) for entry in plan] == [("phi3", 8000), ("mistral", 8001)]
    assert all(re.fullmatch(r"[0-9a-f]{40}", entry["revision"]) for entry in plan)
