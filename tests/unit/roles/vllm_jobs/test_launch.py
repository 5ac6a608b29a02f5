# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine is started with under a profiler and in a container."""

from __future__ import annotations

import signal
import subprocess
import typing as t
from collections.abc import Sequence
from pathlib import Path

import pytest
from llmops_launch import containers, images, profilers
from llmops_launch.containers import Container
from llmops_launch.errors import LaunchError
from llmops_launch.place import Place, place_of

ENGINE = ["vllm", "serve", "lab/tiny"]


@pytest.mark.parametrize(
    ("environ", "stem", "container"),
    [
        pytest.param({}, "phi3_7_gpu1_0", "llmops-7-0", id="first"),
        pytest.param({"SLURM_PROCID": "1"}, "phi3_7_gpu1_1", "llmops-7-1", id="rank"),
        pytest.param({"SLURM_RESTART_COUNT": "2"}, "phi3_7_3_gpu1_0", "llmops-7-0", id="started-again"),
    ],
)
def test_files_and_containers_are_named_by_job_node_and_rank(
    environ: dict[str, str], stem: str, container: str
) -> None:
    place = place_of({"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "gpu1", **environ})
    assert (place.stem("phi3"), place.container) == (stem, container)


def test_a_node_without_a_name_of_slurms_has_its_own() -> None:
    assert place_of({}) == Place("0", place_of({}).node, 0)
    assert place_of({}).node


@pytest.mark.parametrize(
    ("profiler", "expected"),
    [
        pytest.param(
            "torch",
            [
                *ENGINE,
                "--profiler-config.profiler",
                "torch",
                "--profiler-config.torch_profiler_dir",
                "/p/phi3_7_gpu1_0",
                "--profiler-config.torch_profiler_with_stack=false",
            ],
            id="torch",
        ),
        pytest.param(
            "nsys",
            [
                *("/x/nsys", "profile", "--output", "/p/phi3_7_gpu1_0", "--force-overwrite=true"),
                *("--trace=cuda,nvtx,osrt", "--trace-fork-before-exec=true", "--cuda-graph-trace=node"),
                *("--capture-range=cudaProfilerApi", "--capture-range-end=repeat"),
                *ENGINE,
                *("--profiler-config.profiler", "cuda"),
            ],
            id="nsys",
        ),
        pytest.param(
            "viztracer",
            [
                *("/x/viztracer", "--tracer_entries", "200000", "--max_stack_depth", "40", "--quiet"),
                *("--output_file", "/p/phi3_7_gpu1_0.json", "--"),
                *ENGINE,
            ],
            id="viztracer",
        ),
    ],
)
def test_words_of_a_profiler(profiler: str, expected: list[str]) -> None:
    assert profilers.wrapped(profiler, f"/x/{profiler}", ENGINE, "/p/phi3_7_gpu1_0") == expected


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(["--profiler-config.torch_profiler_with_stack=true"], id="one word"),
        pytest.param(["--profiler-config.torch_profiler_with_stack", "true"], id="two words"),
        pytest.param(["--profiler_config.torch_profiler_with_stack=true"], id="vLLM takes both dashes"),
    ],
)
def test_stacks_are_off_unless_the_entry_says_it(said: list[str]) -> None:
    words = profilers.wrapped("torch", "", [*ENGINE, *said], "/p/phi3_7_gpu1_0")
    assert [word for word in words if "with_stack" in word] == said[:1]


@pytest.mark.parametrize(
    ("profiler", "number"),
    [("torch", signal.SIGTERM), ("nsys", signal.SIGINT), ("viztracer", signal.SIGTERM), ("", signal.SIGTERM)],
)
def test_how_a_profiler_is_told_to_stop(profiler: str, number: int) -> None:
    assert profilers.tells_to_stop(profiler) == number


@pytest.mark.parametrize(
    ("profiler", "message"),
    [
        pytest.param(
            "viztracer",
            "Profiling with viztracer on gpu1 failed: /nowhere/bin/viztracer is not there. Add viztracer to "
            "vllm_extra_packages and deploy the engine again, or take profiler out of the entry.",
            id="viztracer",
        ),
        pytest.param(
            "nsys",
            "Profiling with nsys on gpu1 failed: nsys is not there. Install NVIDIA's package nsight-systems-cli there, "
            "or take profiler out of the entry.",
            id="nsys",
        ),
    ],
)
def test_a_profiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, profiler: str, message: str) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(profilers, "_NSYS", ())
    with pytest.raises(LaunchError) as error:
        profilers.find(profiler, "/nowhere/bin/vllm", "gpu1")
    assert str(error.value) == message


def test_the_torch_profiler_is_a_part_of_the_engine() -> None:
    assert profilers.find("torch", "/nowhere/bin/vllm", "gpu1") == ""


def container(runtime: str = "podman", **changes: t.Any) -> Container:
    found: dict[str, t.Any] = {
        "image": "docker.io/vllm/vllm-openai:v0.32.0",
        "name": "llmops-7-0",
        "read_only": ["/opt/models"],
        "writable": ["/jobs/profiles"],
        "key_file": "/etc/key",
        "variables": ["HF_HUB_CACHE"],
        **changes,
    }
    return Container(runtime, **found)


SAFE = ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
INSIDE = ["-c", containers.ENTER, "llmops", *ENGINE]


def test_podman() -> None:
    argv = containers.command(container(), ENGINE, {"SLURM_JOB_GPUS": "2,3"}, (403, 403))
    assert argv == [
        *("podman", "run", "--name", "llmops-7-0", "--label", "llmops.job=llmops-7-0"),
        *("--cgroups", "disabled", "--ulimit", "host", "--env", "HOME=/tmp", "--pull", "missing"),
        *("--rm", "--init", "--network", "host", "--shm-size", "16g", "--log-driver", "none"),
        *SAFE,
        *("--workdir", "/tmp", "--device", "nvidia.com/gpu=2", "--device", "nvidia.com/gpu=3"),
        *("--env", "CUDA_VISIBLE_DEVICES", "--env", "HF_HUB_CACHE"),
        *("--volume", "/opt/models:/opt/models:ro", "--volume", "/jobs/profiles:/jobs/profiles"),
        *("--volume", "/etc/key:/run/llmops-api-key:ro"),
        *("--entrypoint", "sh", "docker.io/vllm/vllm-openai:v0.32.0"),
        *INSIDE,
    ]


def test_an_image_of_the_nodes_own_is_not_looked_for_elsewhere() -> None:
    argv = containers.command(container(image="localhost/llmops/vllm:0.32.0"), ENGINE, {}, (403, 403))
    assert argv[argv.index("--pull") + 1] == "never"


def test_docker_says_again_what_slurm_gave() -> None:
    environ = {
        "SLURM_STEP_GPUS": "1",
        "SLURM_JOB_GPUS": "0,1",
        "SLURM_MEM_PER_NODE": "65536",
        "SLURM_CPUS_PER_TASK": "8",
    }
    argv = containers.command(container("docker"), ENGINE, environ, (403, 404))
    assert argv[:2] == ["docker", "run"]
    for words in (
        ["--user", "403:404"],
        ["--memory", "65536m"],
        ["--cpus", "8"],
        ["--gpus", '"device=1"'],
        ["--entrypoint", "sh", "docker.io/vllm/vllm-openai:v0.32.0", *INSIDE],
    ):
        assert " ".join(words) in " ".join(argv)
    assert "--cgroups" not in argv


def test_apptainer_has_no_name_and_no_daemon() -> None:
    argv = containers.command(container("apptainer", image="/fsx/vllm.sif"), ENGINE, {}, (403, 403))
    assert argv == [
        *("apptainer", "exec", "--cleanenv", "--no-home", "--writable-tmpfs", "--pwd", "/tmp", "--nv"),
        *("--bind", "/opt/models:/opt/models:ro", "--bind", "/jobs/profiles:/jobs/profiles"),
        *("--bind", "/etc/key:/run/llmops-api-key:ro", "/fsx/vllm.sif", "sh", *INSIDE),
    ]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("/fsx/vllm.sif", "/fsx/vllm.sif"),
        ("/fsx/vllm.tar.gz", "docker-archive:/fsx/vllm.tar.gz"),
        ("docker.io/vllm/vllm-openai:v0.32.0", "docker://docker.io/vllm/vllm-openai:v0.32.0"),
    ],
)
def test_images_as_apptainer_names_them(image: str, expected: str) -> None:
    assert containers.apptainer_image(image) == expected


@pytest.mark.parametrize(
    ("runtime", "environ", "words"),
    [
        pytest.param("podman", {}, ["--device", "nvidia.com/gpu=all"], id="podman-unknown"),
        pytest.param("docker", {}, ["--gpus", "all"], id="docker-unknown"),
        pytest.param("docker", {"SLURM_JOB_GPUS": "0,3"}, ["--gpus", '"device=0,3"'], id="docker-two"),
    ],
)
def test_gpus(runtime: str, environ: dict[str, str], words: list[str]) -> None:
    argv = containers.command(container(runtime), ENGINE, environ, (403, 403))
    at = argv.index(words[0])
    assert argv[at : at + 2] == words


@pytest.mark.parametrize("runtime", ["podman", "docker", "apptainer"])
def test_a_container_without_gpus(runtime: str) -> None:
    argv = containers.command(container(runtime, cuda=False), ENGINE, {"SLURM_JOB_GPUS": "0"}, (403, 403))
    assert not {"--gpus", "--nv", "--device"} & set(argv)


@pytest.mark.parametrize("runtime", ["podman", "docker", "apptainer"])
def test_the_key_is_in_no_word_and_no_setting_of_a_container(runtime: str) -> None:
    environ = {"VLLM_API_KEY": "canary", "HF_HUB_CACHE": "/opt/models", "MINE": "1", "OTHER": "2", "SLURM_JOB_ID": "7"}
    names = containers.variables(environ, ["MINE", "VLLM_API_KEY"])
    assert names == ["HF_HUB_CACHE", "MINE", "SLURM_JOB_ID"]
    found = container(runtime, variables=names)
    argv = containers.command(found, ENGINE, environ, (403, 403))
    assert "canary" not in " ".join(argv)
    given = containers.environment(found, environ)
    assert not [name for name, value in given.items() if value == "canary" and name != "VLLM_API_KEY"]


def test_gpus_are_counted_from_0_inside() -> None:
    environ = {"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "2,3"}
    assert containers.environment(container(), environ)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert containers.environment(container("apptainer"), environ)["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_apptainer_is_told_of_variables_by_names_of_its_own() -> None:
    given = containers.environment(container("apptainer", variables=["A"]), {"A": "1", "B": "2"})
    assert given == {"A": "1", "B": "2", "APPTAINERENV_A": "1"}


class FakeRuntime:
    """Stands for podman: knows what was loaded, and what it was asked."""

    def __init__(self, known: Sequence[str] = (), fails: bool = False) -> None:
        self.known, self.fails, self.asked = list(known), fails, []  # type: ignore[var-annotated]

    def __call__(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.asked.append(list(argv[1:]))
        output, status = "", 0
        if argv[1:3] == ["image", "inspect"]:
            status = 0 if argv[-1] in self.known else 125
        elif argv[1] == "load":
            output, status = "Loaded image: localhost/made/elsewhere:1\n", 125 if self.fails else 0
        elif argv[1] == "tag":
            self.known.append(argv[-1])
        elif argv[1:3] == ["image", "ls"]:
            output = "\n".join(self.known)
        return subprocess.CompletedProcess(argv, status, output, "no space left on device")


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(images, "_OWN", str(tmp_path))
    path = tmp_path / "vLLM serve-latest.tar.gz"
    path.write_bytes(b"x" * 16)
    return path


def test_a_tarball_is_loaded_once_and_again_when_it_is_another(tarball: Path) -> None:
    runtime = FakeRuntime(["docker.io/somebody/else:1"])
    first = images.from_tarball("podman", str(tarball), runtime, "gpu1")
    assert first.startswith("localhost/llmops/vllm-serve-latest:10-")
    assert images.from_tarball("podman", str(tarball), runtime, "gpu1") == first
    assert [words[0] for words in runtime.asked].count("load") == 1
    tarball.write_bytes(b"x" * 17)
    second = images.from_tarball("podman", str(tarball), runtime, "gpu1")
    assert second != first
    # Its own predecessor is forgotten, and nothing else.
    assert [words for words in runtime.asked if words[0] == "rmi"] == [["rmi", first]]


def test_a_tarball_that_is_not_there() -> None:
    with pytest.raises(LaunchError) as error:
        images.from_tarball("podman", "/nowhere/vllm.tar", FakeRuntime(), "gpu1")
    assert str(error.value) == (
        "Reading the image /nowhere/vllm.tar on gpu1 failed: No such file or directory. Run the playbook "
        "build_image.yml, or correct image in the entry."
    )
    assert error.value.status == 66


def test_a_tarball_that_cannot_be_loaded(tarball: Path) -> None:
    with pytest.raises(LaunchError, match=r"Loading the image .* on gpu1 failed: no space left on device"):
        images.from_tarball("podman", str(tarball), FakeRuntime(fails=True), "gpu1")


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("podman", ["podman", "rm", "--force", "--ignore", "--time", "0", "llmops-7-0"]),
        ("docker", ["docker", "rm", "--force", "llmops-7-0"]),
    ],
)
def test_one_container_is_ended_by_its_name(runtime: str, expected: list[str]) -> None:
    assert containers.removal(runtime, "llmops-7-0") == expected
