# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that run the engine in a container. Pure.

The container is this job's: named by it, in its cgroup where the runtime can, with the GPUs that Slurm gave, and gone
with it. Secrets are neither in its words nor in its settings: the key is a file, read inside.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

KEY_PLACE = "/run/llmops-api-key"
# What runs first inside: takes the key out of its file, and says in words what the image lacks.
ENTER = (
    f"if [ -e {KEY_PLACE} ]; then VLLM_API_KEY=$(cat {KEY_PLACE}) || exit 78; export VLLM_API_KEY; fi; "
    'command -v "$1" >/dev/null || { echo "Starting $1 failed: the image has no such program. '
    'Add it to the image, or name another one." >&2; exit 69; }; exec "$@"'
)
_PREFIXES = (
    *("VLLM_", "HF_", "TRANSFORMERS_", "TORCH", "PYTORCH_", "TRITON_", "FLASHINFER_", "CUDA_", "NVIDIA_", "NCCL_"),
    *("GLOO_", "FI_", "UCX_", "OMP_", "MKL_", "TOKENIZERS_"),
)
_NEVER = ("VLLM_API_KEY", "HF_TOKEN")
# By these the engine's caches, and whoever looks for what a job has left, know whose it is.
_ALWAYS = ("SLURM_JOB_ID", "SLURM_PROCID", "SLURMD_NODENAME")


@dataclass(frozen=True)
class Container:
    """What a container is made from."""

    runtime: str
    image: str
    name: str
    # Paths that are the same inside and outside.
    read_only: Sequence[str] = ()
    writable: Sequence[str] = ()
    key_file: str = ""
    variables: Sequence[str] = ()
    cuda: bool = True
    shm_size: str = "16g"
    devices: Sequence[str] = field(default_factory=list)


def variables(environ: Mapping[str, str], named: Sequence[str]) -> list[str]:
    """The names that are passed on: the engine's own, those of its libraries, and those of the entry."""
    found = [name for name in environ if name.startswith(_PREFIXES) or name in (*_ALWAYS, *named)]
    return sorted(name for name in found if name not in _NEVER)


def gpus(environ: Mapping[str, str]) -> list[str]:
    """The GPUs of this node that are the job's, by the numbers that the driver has for them; none where unknown."""
    told = environ.get("SLURM_STEP_GPUS") or environ.get("SLURM_JOB_GPUS") or ""
    return [number for number in told.split(",") if number.isdigit()]


def environment(container: Container, environ: Mapping[str, str]) -> dict[str, str]:
    """What the runtime itself is given. Names alone stand in its words; the values come from here."""
    given = dict(environ)
    numbers = gpus(environ)
    if container.cuda and numbers and container.runtime != "apptainer":
        # Inside there are only these, counted from 0.
        given["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in range(len(numbers)))
    given |= {"HOME": "/tmp", "USER": "vllm", "LOGNAME": "vllm"} if container.runtime == "docker" else {}
    if container.runtime == "apptainer":
        given |= {f"APPTAINERENV_{name}": environ[name] for name in container.variables if name in environ}
    return given


def command(
    container: Container, engine: Sequence[str], environ: Mapping[str, str], user: tuple[int, int]
) -> list[str]:
    """The whole command line."""
    if container.runtime == "apptainer":
        return [*_apptainer(container), "sh", "-c", ENTER, "llmops", *engine]
    words = [container.runtime, "run", "--name", container.name, "--label", f"llmops.job={container.name}"]
    words += _podman() if container.runtime == "podman" else _docker(user, environ)
    # What is made on the node is in no registry.
    words += ["--pull", "never" if container.image.startswith("localhost/") else "missing"]
    words += ["--rm", "--init", "--network", "host", "--shm-size", container.shm_size, "--log-driver", "none"]
    words += ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
    words += ["--workdir", "/tmp"]
    words += _gpu_words(container, environ)
    for device in container.devices:
        words += ["--device", device]
    names = {*container.variables, *(["CUDA_VISIBLE_DEVICES"] if container.cuda and gpus(environ) else [])}
    for name in sorted(names):
        words += ["--env", name]
    for path in container.read_only:
        words += ["--volume", f"{path}:{path}:ro"]
    for path in container.writable:
        words += ["--volume", f"{path}:{path}"]
    words += ["--volume", f"{container.key_file}:{KEY_PLACE}:ro"] if container.key_file else []
    return [*words, "--entrypoint", "sh", container.image, "-c", ENTER, "llmops", *engine]


def _podman() -> list[str]:
    # Without a cgroup of its own it stays in the step's, with the job's cores, memory and devices, and ends with it.
    return ["--cgroups", "disabled", "--ulimit", "host", "--env", "HOME=/tmp"]


def _docker(user: tuple[int, int], environ: Mapping[str, str]) -> list[str]:
    """Its daemon starts the container, outside of Slurm's cgroup: what Slurm gave is said again."""
    words = ["--user", f"{user[0]}:{user[1]}", "--ulimit", "memlock=-1"]
    words += ["--env", "HOME", "--env", "USER", "--env", "LOGNAME"]
    memory = environ.get("SLURM_MEM_PER_NODE", "")
    words += ["--memory", f"{memory}m"] if memory.isdigit() and int(memory) > 0 else []
    cores = environ.get("SLURM_CPUS_PER_TASK", "")
    return [*words, "--cpus", cores] if cores.isdigit() else words


def _gpu_words(container: Container, environ: Mapping[str, str]) -> list[str]:
    if not container.cuda:
        return []
    numbers = gpus(environ)
    if container.runtime == "docker":
        # Docker reads a list with commas in it only between quotes of its own.
        return ["--gpus", f'"device={",".join(numbers)}"' if numbers else "all"]
    return [word for number in numbers or ["all"] for word in ("--device", f"nvidia.com/gpu={number}")]


def _apptainer(container: Container) -> list[str]:
    """No daemon and no name: its processes are the step's own."""
    words = ["apptainer", "exec", "--cleanenv", "--no-home", "--writable-tmpfs", "--pwd", "/tmp"]
    words += ["--nv"] if container.cuda else []
    binds = [f"{path}:{path}:ro" for path in container.read_only] + [f"{path}:{path}" for path in container.writable]
    binds += [f"{container.key_file}:{KEY_PLACE}:ro"] if container.key_file else []
    for bind in binds:
        words += ["--bind", bind]
    return [*words, apptainer_image(container.image)]


def apptainer_image(image: str) -> str:
    """The image as Apptainer names it: its own files as they are, others by where they come from."""
    if image.startswith("/"):
        return image if os.path.splitext(image)[1] in (".sif", ".sqfs", ".img") else f"docker-archive:{image}"
    return f"docker://{image}"


def removal(runtime: str, name: str) -> list[str]:
    """Ends one container, by its name, and no other; nothing to be ended is no fault."""
    if runtime == "podman":
        return ["podman", "rm", "--force", "--ignore", "--time", "0", name]
    return ["docker", "rm", "--force", name]
