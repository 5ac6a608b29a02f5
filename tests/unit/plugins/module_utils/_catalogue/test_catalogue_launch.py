# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around the engine's words: profilers and containers."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import (
    batch_job,
    complete_site,
    has_batch,
    job_problems,
    serve_job,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.launch import launch_words
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import catalogue_problems
from ansible_collections.llmops.cluster.plugins.module_utils._plan.serving import serving_plan

IMAGE = "docker.io/vllm/vllm-openai:v0.32.0"


def entry(**changes: t.Any) -> dict[str, t.Any]:
    return catalogue_plan([{"name": "phi3", "model_id": "lab/phi3", "port": 8000, **changes}])[0]


def serve(site: dict[str, t.Any] | None = None, **changes: t.Any) -> dict[str, t.Any]:
    return serve_job(entry(**changes), site or {})


def test_an_engine_by_itself_has_nothing_around_it() -> None:
    job = serve()
    assert (job["launch"], job["step"], job["venv"]) == ([], [], "/opt/vllm/venv")


@pytest.mark.parametrize("profiler", ["torch", "nsys", "viztracer"])
def test_a_profiler_is_one_key(profiler: str) -> None:
    job = serve(profiler=profiler)
    assert job["launch"] == [
        *("/opt/vllm/venv/bin/python", "-B", "/home/vllm/vllm-jobs/llmops_launch", "--name", "phi3"),
        *("--profiler", profiler, "--profiles", "/home/vllm/vllm-jobs/profiles", "--"),
    ]
    assert job["argv"] == serve()["argv"]


def test_an_entry_goes_back_to_the_environment() -> None:
    models = [
        {"name": "here", "model_id": "lab/tiny", "port": 8000, "runtime": "venv"},
        {"name": "there", "model_id": "lab/tiny", "port": 8001},
    ]
    here, there = catalogue_plan(models, {"runtime": "podman", "image": IMAGE})
    assert (here["runtime"], here["image"]) == ("venv", entry()["image"])
    assert (there["runtime"], there["image"]) == ("podman", IMAGE)


def test_batches_are_not_profiled() -> None:
    assert batch_job(entry(profiler="torch"), {})["launch"] == []


def test_a_container_brings_the_engine_and_the_node_brings_the_rest() -> None:
    job = serve(
        {"container_mounts": ["/fsx"], "engine_env": {"B": "1"}, "container_shm_size": "1g"},
        runtime="podman",
        image=IMAGE,
        env={"A": "secretless"},
    )
    assert job["launch"] == [
        *("python3", "-B", "/home/vllm/vllm-jobs/llmops_launch", "--name", "phi3"),
        *("--runtime", "podman", "--image", IMAGE, "--shm-size", "1g", "--cuda"),
        *("--read-only", "/opt/models", "--read-only", "/fsx", "--key-file", "/etc/llmops/vllm-api-key"),
        *("--pass", "A", "--pass", "B", "--"),
    ]
    assert job["argv"][:3] == ["vllm", "serve", "lab/phi3"]
    assert job["venv"] == "/docker.io_vllm_vllm-openai_v0.32.0"


def test_a_container_reads_adapters_that_are_not_among_the_models() -> None:
    found = {
        **entry(runtime="podman", image=IMAGE),
        "lora_adapters": {"a": {"path": "/fsx/lora"}, "b": {"model_id": "lab/b", "revision": "0" * 40}},
    }
    words = launch_words("serve", found, complete_site({"container_mounts": ["/fsx/lora", "/fsx/x"]}))
    assert [words[index + 1] for index, word in enumerate(words) if word == "--read-only"] == [
        *("/opt/models", "/fsx/lora", "/fsx/x")
    ]


def test_a_batch_in_a_container_needs_no_key() -> None:
    job = batch_job(entry(runtime="podman", image=IMAGE), {})
    assert "--key-file" not in job["launch"]
    assert job["program"][:2] == ["python3", "-B"]


def test_what_only_the_environment_has_is_not_tried_with_an_image() -> None:
    job = serve({"preflight": "collective"}, runtime="podman", image=IMAGE, nodes=2, tensor_parallel_size=2)
    assert "--collective" not in job["program"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(IMAGE, "docker.io#vllm/vllm-openai:v0.32.0", id="registry"),
        pytest.param("vllm/vllm-openai:v0.32.0", "vllm/vllm-openai:v0.32.0", id="without-registry"),
        pytest.param("localhost:5000/vllm", "localhost:5000#vllm", id="port"),
        pytest.param("/fsx/vllm.sqsh", "/fsx/vllm.sqsh", id="file"),
    ],
)
def test_pyxis_puts_the_step_into_a_container(image: str, expected: str) -> None:
    job = serve({"cache_dir": "/var/cache/vllm"}, runtime="pyxis", image=image)
    assert job["launch"] == []
    assert job["step"] == [
        f"--container-image={expected}",
        "--container-mounts=/opt/models:/opt/models:ro,/etc/llmops/vllm-api-key:/etc/llmops/vllm-api-key:ro,"
        "/var/cache/vllm:/var/cache/vllm",
        *("--container-workdir=/tmp", "--no-container-mount-home"),
    ]
    assert not has_batch(entry(runtime="pyxis", image=image))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"runtime": "podman"},
            "image is missing; needed with runtime: podman is its name in a registry, or the path of its file",
            id="no-image",
        ),
        pytest.param(
            {"image": IMAGE},
            f"image: '{IMAGE}' found; allowed with runtime: venv is none, so name the runtime that runs it",
            id="no-runtime",
        ),
        pytest.param(
            {"runtime": "docker", "image": IMAGE, "backend": "ray"},
            "runtime: docker found; allowed with backend: ray is venv",
            id="ray",
        ),
        pytest.param(
            {"runtime": "pyxis", "image": IMAGE, "profiler": "nsys"},
            "profiler found; allowed with runtime: pyxis is none, or another runtime",
            id="pyxis-profiler",
        ),
        pytest.param(
            {"runtime": "pyxis", "image": IMAGE, "replicas": 2},
            "runtime: pyxis found; allowed for a server of several nodes and for replicas is venv, "
            "podman, docker or apptainer",
            id="pyxis-replicas",
        ),
    ],
)
def test_what_cannot_be_started_is_said_before_anything_is(changes: dict[str, t.Any], message: str) -> None:
    assert job_problems([entry(**changes)], {}) == [f"Rendering the job of phi3 failed: {message}."]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"profiler": "perf"}, "profiler: 'perf' found; allowed is one of torch, nsys, viztracer", id="profiler"
        ),
        pytest.param(
            {"runtime": "singularity"},
            "runtime: 'singularity' found; allowed is one of venv, podman, docker, apptainer, pyxis",
            id="runtime",
        ),
        pytest.param(
            {"image": "--privileged"},
            "image: '--privileged' found; allowed is a name as in registry.example.org/group/name:tag, or an "
            "absolute path",
            id="image",
        ),
    ],
)
def test_bad_values(changes: dict[str, t.Any], message: str) -> None:
    found = catalogue_problems([{"name": "phi3", "model_id": "lab/phi3", "port": 8000, **changes}])
    assert found == [f"vllm_models[0] (phi3): {message}."]


PARSER = {"version": "0.1", "options": {}}


def test_the_options_of_an_image_are_not_those_of_the_node() -> None:
    models = [{"name": "phi3", "model_id": "lab/phi3", "port": 8000, "runtime": "podman", "image": IMAGE}]
    plan = serving_plan(models, parser=PARSER)[0]
    assert plan["options"] == []
    warning = f"its options are not checked: the vLLM in {IMAGE} is not asked which ones it has."
    assert warning in plan["warnings"]
    assert warning in plan["text"]


def test_a_profiler_that_the_engine_does_not_know_is_said_in_the_plan() -> None:
    models = [{"name": "phi3", "model_id": "lab/phi3", "port": 8000, "profiler": "torch"}]
    options = serving_plan(models, parser=PARSER)[0]["options"]
    assert any(problem.startswith("--profiler-config.profiler: vLLM 0.1 has no such option.") for problem in options)
