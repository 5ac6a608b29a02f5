# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine under its profiler or in its container, from its start to the end of its processes."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmops_node.processes import Processes, adopt_orphans

from llmops_launch import containers, images, profilers
from llmops_launch.containers import Container
from llmops_launch.errors import LaunchError
from llmops_launch.place import Place, place_of

# Written by the role vllm_image: how podman runs in jobs, and where the service's images are, apart from people's.
_SETTINGS = {
    "CONTAINERS_CONF": Path("/etc/llmops/containers/containers.conf"),
    "CONTAINERS_STORAGE_CONF": Path("/etc/llmops/containers/storage.conf"),
}
_RUNTIME_DIR = Path("/run/llmops-containers")
_FABRIC = Path("/dev/infiniband")


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llmops_launch", description=__doc__, allow_abbrev=False)
    parser.add_argument("--name", required=True, help="of the model: files are named by it")
    parser.add_argument("--profiler", default="", choices=["", "torch", "nsys", "viztracer"])
    parser.add_argument("--profiles", default="", help="the folder of the profiles")
    parser.add_argument("--runtime", default="", choices=["", "podman", "docker", "apptainer"])
    parser.add_argument("--image", default="")
    parser.add_argument("--cuda", action="store_true", help="give the job's GPUs to the container")
    parser.add_argument("--shm-size", default="16g")
    parser.add_argument("--read-only", action="append", default=[], metavar="PATH")
    parser.add_argument("--writable", action="append", default=[], metavar="PATH")
    parser.add_argument("--key-file", default="")
    parser.add_argument("--pass", action="append", default=[], dest="named", metavar="NAME")
    parser.add_argument("engine", nargs=argparse.REMAINDER)
    options = parser.parse_args(list(words))
    options.engine = options.engine[1:] if options.engine[:1] == ["--"] else options.engine
    return options


def say(text: str) -> None:
    print(text, flush=True)


class Launch:
    """What one engine is started with, decided before anything runs."""

    def __init__(self, options: argparse.Namespace, place: Place, environ: Mapping[str, str]) -> None:
        self.options, self.place = options, place
        self.environ = dict(environ)
        self.container: Container | None = None

    def prepare(self) -> list[str]:
        """The command line. Whatever is missing on this node is said here."""
        engine = self._profiled(self.options.engine) if self.options.profiler else list(self.options.engine)
        return self._contained(engine) if self.options.runtime else engine

    def _profiled(self, engine: Sequence[str]) -> list[str]:
        profiler, folder = self.options.profiler, Path(self.options.profiles)
        target = folder / self.place.stem(self.options.name)
        try:
            (target if profiler == "torch" else folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LaunchError(
                f"Making the folder of profiles {folder} on {self.place.node} failed: {error.strerror}.", 73
            ) from error
        # In a container it is the image's own.
        program = profiler if self.options.runtime else profilers.find(profiler, engine[0], self.place.node)
        say(f"{self.place.node} writes its profile to {target}{'/' if profiler == 'torch' else '.*'}")
        return profilers.wrapped(profiler, program, engine, str(target))

    def _contained(self, engine: Sequence[str]) -> list[str]:
        options, node = self.options, self.place.node
        if shutil.which(options.runtime, path=self.environ.get("PATH")) is None:
            raise LaunchError(
                f"Starting the engine in {options.runtime} on {node} failed: {options.runtime} is not installed there. "
                "Run the playbook build_image.yml, which installs podman, or take runtime out of the entry."
            )
        if options.runtime == "podman":
            self.environ |= storage()
        image = options.image
        if options.runtime != "apptainer" and image.startswith("/"):
            image = images.from_tarball(options.runtime, image, self.run, node)
        sockets = [os.path.dirname(path) for path in _values(engine, "--uds")]
        profiles = [options.profiles] if options.profiler else []
        self.container = Container(
            options.runtime,
            image,
            self.place.container,
            options.read_only,
            [*options.writable, *profiles, *sockets, *_caches(self.environ)],
            options.key_file,
            containers.variables(self.environ, options.named),
            options.cuda,
            options.shm_size,
            [str(_FABRIC)] if _FABRIC.is_dir() and options.runtime != "apptainer" else [],
        )
        argv = containers.command(self.container, engine, self.environ, (os.getuid(), os.getgid()))
        self.environ = containers.environment(self.container, self.environ)
        return argv

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(list(argv), env=self.environ, capture_output=True, text=True, check=False)

    def remove(self) -> None:
        """This job's container on this node, if it is there; of no other job's."""
        if self.container is not None and self.container.runtime != "apptainer":
            self.run(containers.removal(self.container.runtime, self.container.name))


def storage() -> dict[str, str]:
    """Where podman keeps the service's images, if the playbook has made a place for them."""
    found = {name: str(path) for name, path in _SETTINGS.items() if path.is_file()}
    return found | ({"XDG_RUNTIME_DIR": str(_RUNTIME_DIR)} if _RUNTIME_DIR.is_dir() else {})


def _values(words: Sequence[str], flag: str) -> list[str]:
    return [words[index + 1] for index, word in enumerate(words[:-1]) if word == flag]


def _caches(environ: Mapping[str, str]) -> list[str]:
    """The folder of compiled code, where the job has one; a container's own is gone with it."""
    folder = environ.get("VLLM_CACHE_ROOT", "")
    if folder:
        os.makedirs(folder, exist_ok=True)
    return [folder] if folder else []


class Asked:
    """Whether Slurm has asked for the end."""

    def __init__(self, processes: Processes, number: int) -> None:
        self.processes, self.number = processes, number
        self.pid: int | None = None
        self.asked = False

    def __call__(self, _number: int, _frame: t.Any) -> None:
        first, self.asked = not self.asked, True
        if first and self.pid is not None:
            self.processes.signal(self.pid, self.number)

    def started(self, pid: int) -> None:
        self.pid = pid
        if self.asked:
            self.processes.signal(pid, self.number)


def main(words: Sequence[str]) -> int:
    """The status that the engine's place ends with."""
    options = _options(words)
    adopt_orphans()
    processes = Processes()
    asked = Asked(processes, profilers.tells_to_stop(options.profiler))
    signal.signal(signal.SIGTERM, asked)
    launch = Launch(options, place_of(os.environ), os.environ)
    try:
        argv = launch.prepare()
        launch.remove()
        if asked.asked:
            return 0
        say(f"{launch.place.node} runs: {' '.join(argv)}")
        asked.started(processes.start(argv, launch.environ))
        return _ended(processes, asked)
    except LaunchError as error:
        print(error, file=sys.stderr, flush=True)
        return error.status
    finally:
        launch.remove()
        processes.end_all()


def _ended(processes: Processes, asked: Asked) -> int:
    """Waits for as long as it takes: who asked for the end is the one who loses patience."""
    pid = asked.pid
    while pid is not None:
        status = processes.wait(pid, 3600.0)
        if status is not None:
            break
    else:
        return 70
    if status < 0:
        # Ended by the signal itself, before the engine had its own way to stop.
        return 0 if asked.asked and -status in (signal.SIGTERM, asked.number) else 128 - status
    return 0 if asked.asked and status in (128 + signal.SIGTERM, 128 + signal.SIGINT) else status
