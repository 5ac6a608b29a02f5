# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a profiler around those of the engine, and where its files go. Pure but for the looks for programs."""

from __future__ import annotations

import glob
import os
import shutil
import signal
from collections.abc import Sequence

from llmops_launch.errors import LaunchError

# Where NVIDIA's packages leave it when it is not on the path; the newest wins.
_NSYS = ("/opt/nvidia/nsight-systems*/*/bin/nsys", "/usr/local/cuda*/bin/nsys")
_NSYS_WORDS = (
    *("--force-overwrite=true", "--trace=cuda,nvtx,osrt", "--trace-fork-before-exec=true", "--cuda-graph-trace=node"),
    # Records from /start_profile to /stop_profile, each time to a file of its own.
    *("--capture-range=cudaProfilerApi", "--capture-range-end=repeat"),
)
# The last calls of each process. A million take longer to write than the half minute that Slurm gives a cancelled job.
_VIZTRACER_WORDS = ("--tracer_entries", "200000", "--max_stack_depth", "40", "--quiet")
# With stacks torch notes every call of Python too, of processes that wait in a loop of Python: gigabytes in a minute,
# held in memory until the file is written. Where the machine runs out of it, the kernel ends the engine, and the
# profile is lost.
_STACKS = "--profiler-config.torch_profiler_with_stack"
_HOW = {
    "nsys": "Install NVIDIA's package nsight-systems-cli there",
    "viztracer": "Add viztracer to vllm_extra_packages and deploy the engine again",
}


def tells_to_stop(profiler: str) -> int:
    """The signal on which it ends the engine and writes its files."""
    return signal.SIGINT if profiler == "nsys" else signal.SIGTERM


def program_of(profiler: str, engine: str) -> str | None:
    """Where the profiler is on this node; None where it is not, or where it is a part of the engine."""
    if profiler == "viztracer":
        # It traces the Python that it runs in: the engine's.
        beside = os.path.join(os.path.dirname(engine), "viztracer")
        return beside if os.access(beside, os.X_OK) else None
    found = [path for pattern in _NSYS for path in sorted(glob.glob(pattern), reverse=True)]
    return shutil.which("nsys") or next(iter(found), None)


def find(profiler: str, engine: str, node: str) -> str:
    """The program to run, before the model loads and not after."""
    if profiler == "torch":
        return ""
    program = program_of(profiler, engine)
    if program is None:
        where = f"{os.path.dirname(engine)}/viztracer is not there" if profiler == "viztracer" else "nsys is not there"
        raise LaunchError(
            f"Profiling with {profiler} on {node} failed: {where}. {_HOW[profiler]}, or take profiler out of the entry."
        )
    return program


def wrapped(profiler: str, program: str, engine: Sequence[str], target: str) -> list[str]:
    """The engine's words under the profiler. `target`: path without an ending, this node's own."""
    if profiler == "torch":
        said = any(word.split("=")[0].replace("-", "_") == _STACKS.replace("-", "_") for word in engine)
        stacks = () if said else (f"{_STACKS}=false",)
        return [*engine, "--profiler-config.profiler", "torch", "--profiler-config.torch_profiler_dir", target, *stacks]
    if profiler == "nsys":
        return [program, "profile", "--output", target, *_NSYS_WORDS, *engine, "--profiler-config.profiler", "cuda"]
    return [program, *_VIZTRACER_WORDS, "--output_file", f"{target}.json", "--", *engine]
