# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What job scripts say."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import (
    CatalogueError,
    NotInThisReleaseError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import (
    batch_job,
    batch_jobs,
    job_problems,
    serve_job,
    serving_jobs,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan

COMMIT = "f39ac1d28e925b323eae81227eaba4464caced4e"


def entry(**changes: t.Any) -> dict[str, t.Any]:
    found = {"name": "phi3", "model_id": "microsoft/Phi-3-mini-4k-instruct", "port": 8000, **changes}
    return catalogue_plan([found])[0]


def serve(site: dict[str, t.Any] | None = None, **changes: t.Any) -> dict[str, t.Any]:
    return serve_job(entry(**changes), site or {})


def value_of(argv: list[str], flag: str) -> str | None:
    return argv[argv.index(flag) + 1] if flag in argv else None


def test_smallest_entry() -> None:
    assert serve({"port_moves": False})["argv"] == [
        "/opt/vllm/venv/bin/vllm",
        "serve",
        "microsoft/Phi-3-mini-4k-instruct",
        *("--host", "0.0.0.0", "--port", "8000"),
        *("--served-model-name", "microsoft/Phi-3-mini-4k-instruct", "phi3"),
        *("--revision", "main", "--dtype", "auto"),
        *("--gpu-memory-utilization", "0.9", "--tensor-parallel-size", "1", "--shutdown-timeout", "20"),
    ]


def test_slurm_options_in_order() -> None:
    assert serve()["sbatch"] == [
        ["job-name", "vllm-serve-phi3"],
        ["partition", "gpu"],
        ["nodes", "1"],
        ["ntasks", "1"],
        ["cpus-per-task", "8"],
        ["gres", "gpu:1"],
        ["time", "7-00:00:00"],
        ["output", "/home/vllm/vllm-jobs/outputs/serve_phi3_%j.out"],
        ["error", "/home/vllm/vllm-jobs/outputs/serve_phi3_%j.err"],
        ["open-mode", "append"],
        ["requeue", ""],
    ]


@pytest.mark.parametrize(
    ("changes", "site", "option", "value"),
    [
        pytest.param({"gpus": 4}, {}, "gres", "gpu:4", id="gpus"),
        pytest.param({}, {"gres": "gpu:l4"}, "gres", "gpu:l4:1", id="gres-type"),
        pytest.param({}, {"gres": ""}, "gres", None, id="no-gres"),
        pytest.param({"partition": "long"}, {"partition": "gpu"}, "partition", "long", id="entry-before-site"),
        pytest.param({}, {"account": "llm"}, "account", "llm", id="account"),
        pytest.param({}, {"time": ""}, "time", None, id="no-time"),
        pytest.param({"time": "12:00:00"}, {"time": ""}, "time", "12:00:00", id="time"),
        pytest.param({"cpus_per_task": 2}, {}, "cpus-per-task", "2", id="cores"),
        pytest.param({"mem": "64G"}, {}, "mem", "64G", id="memory"),
        pytest.param({}, {"requeue": False}, "no-requeue", "", id="no-requeue"),
    ],
)
def test_slurm_option(changes: dict[str, t.Any], site: dict[str, t.Any], option: str, value: str | None) -> None:
    options = dict(serve(site, **changes)["sbatch"])
    assert options.get(option) == value


@pytest.mark.parametrize(
    ("changes", "flag", "value"),
    [
        pytest.param({"revision": COMMIT}, "--revision", COMMIT, id="revision"),
        pytest.param({"max_model_len": 4096}, "--max-model-len", "4096", id="length"),
        pytest.param({"gpu_memory_utilization": 0.85}, "--gpu-memory-utilization", "0.85", id="memory"),
        pytest.param({"gpus": 4}, "--tensor-parallel-size", "4", id="tensor"),
        pytest.param({"gpus": 4, "pipeline_parallel_size": 2}, "--pipeline-parallel-size", "2", id="pipeline"),
        pytest.param({"data_parallel_size": 2}, "--data-parallel-size", "2", id="data"),
        pytest.param({"quantization": "fp8"}, "--quantization", "fp8", id="quantization"),
        pytest.param({"max_num_seqs": 16}, "--max-num-seqs", "16", id="seqs"),
    ],
)
def test_flag(changes: dict[str, t.Any], flag: str, value: str) -> None:
    assert value_of(serve(**changes)["argv"], flag) == value
    assert value_of(batch_job(entry(**changes), {})["argv"], flag) == value


@pytest.mark.parametrize(
    "flag",
    [
        "--trust-remote-code",
        "--enable-expert-parallel",
        "--pipeline-parallel-size",
        "--api-key",
        "--disable-log-requests",
        "--max-model-len",
    ],
)
def test_flag_is_absent_unless_asked_for(flag: str) -> None:
    assert flag not in serve()["argv"]


def test_switches() -> None:
    argv = serve(trust_remote_code=True, revision=COMMIT, expert_parallel=True)["argv"]
    assert "--trust-remote-code" in argv
    assert "--enable-expert-parallel" in argv


def test_cpu_has_no_share_of_gpu_memory() -> None:
    assert "--gpu-memory-utilization" not in serve({"device": "cpu"})["argv"]


def test_extra_words_come_last_those_of_the_entry_behind_those_of_the_site() -> None:
    argv = serve({"engine_args": ["--enforce-eager"]}, extra_args=["--seed", "1"])["argv"]
    assert argv[-3:] == ["--enforce-eager", "--seed", "1"]


def test_environment() -> None:
    job = serve({"engine_env": {"A": "site", "B": "site"}}, env={"A": "entry"})
    assert job["environment"] == {
        "HF_HUB_CACHE": "/opt/models",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "A": "entry",
        "B": "site",
    }


def test_served_names_end_with_the_short_name() -> None:
    assert serve(served_model_name=["gpt", "phi3"])["served_names"] == ["gpt", "phi3"]


def test_endpoint_record() -> None:
    assert json.loads(serve({"port_moves": False})["endpoint"]) == {
        "job_name": "vllm-serve-phi3",
        "model_id": "microsoft/Phi-3-mini-4k-instruct",
        "models": ["microsoft/Phi-3-mini-4k-instruct", "phi3"],
        "name": "phi3",
        "port": 8000,
        "revision": "main",
    }


def test_batch_job() -> None:
    job = batch_job(entry(), {})
    assert job["argv"][:3] == ["/opt/vllm/venv/bin/vllm", "serve", "microsoft/Phi-3-mini-4k-instruct"]
    assert dict(job["sbatch"])["job-name"] == "vllm-batch-phi3"
    assert not {"--port", "--host"} & set(job["argv"])


@pytest.mark.parametrize(
    ("site", "message"),
    [
        pytest.param(
            {"device": "tpu"},
            "role vllm_jobs: vllm_jobs_device: 'tpu' found; allowed is one of cuda, cpu.",
            id="device",
        ),
        pytest.param(
            {"venvs": "/x"},
            "role vllm_jobs: vllm_jobs_venvs is no known key. Did you mean vllm_jobs_venv?",
            id="unknown",
        ),
        pytest.param(
            {"dir": "/a b"}, "role vllm_jobs: vllm_jobs_dir: '/a b' found; allowed is an absolute path", id="blank"
        ),
        pytest.param(
            {"dir": "/a/../b"}, "role vllm_jobs: vllm_jobs_dir: '/a/../b' found; allowed is an absolute path", id="up"
        ),
        pytest.param(
            {"port_range": "29999-20000"},
            "vllm_jobs_port_range: '29999-20000' found; allowed is the first port, then the last, up to 65535",
            id="ports-backwards",
        ),
        pytest.param({"port_range": "60000-99999"}, "'60000-99999' found; allowed is the first port", id="no-ports"),
        pytest.param(
            {"port_range": "7000-9000", "port_moves": False},
            "port: 8000 found, which jobs may take by themselves; allowed is any outside of vllm_jobs_port_range, "
            "7000-9000.",
            id="ports-with-the-model's-own",
        ),
        pytest.param(
            {"engine_env": {"HF_TOKEN": "x"}},
            "vllm_jobs_engine_env: HF_TOKEN (value not shown) is refused",
            id="secret",
        ),
    ],
)
def test_bad_site(site: dict[str, t.Any], message: str) -> None:
    with pytest.raises(CatalogueError) as error:
        serve(site)
    assert message in str(error.value)


def test_an_entry_that_was_not_planned_is_refused() -> None:
    with pytest.raises(CatalogueError, match="Pass it through llmops.cluster.catalogue_plan first"):
        serve_job({"name": "phi3"}, {})


def test_batches_run_on_one_node() -> None:
    with pytest.raises(NotInThisReleaseError, match="nodes: 2 with backend: mp found; batches run on one node"):
        batch_job(entry(nodes=2), {})


def test_only_what_runs_on_one_node_has_a_batch_job() -> None:
    entries = [entry(), entry(nodes=2), entry(backend="ray")]
    assert [job["script"] for job in batch_jobs(entries, {})] == [batch_job(entry(), {})["script"]]
    assert job_problems([entry(nodes=2)], {}) == []


def test_each_replica_is_a_job() -> None:
    assert [name for _entry, name in serving_jobs([entry(replicas=3), entry(name="b")], {})] == [
        *("vllm-serve-phi3", "vllm-serve-phi3+2", "vllm-serve-phi3+3", "vllm-serve-b")
    ]
